/**
 * The package as a library: a gateway inside a program or a test, and protocols of one's own.
 *
 *     const gateway = startGateway(loadConfig('trivium.yaml'))
 *     await gateway.ready()
 *     await gateway.publish({ connection: 'devices', destination: 'sensors/7', payload: '{"temperature":31.5}' })
 *     await gateway.stop()
 */
export { z } from 'zod'
export type {
  Component,
  Context,
  Delivery,
  Log,
  Outbound,
  Outcome,
  Settlement,
  Sink,
  Source,
} from './adapter/contract.ts'
export { delivered, rejected, retryable } from './adapter/contract.ts'
export type { AddressPattern, AnyProtocol, DestinationKind, Protocol, SettingsProblem } from './adapter/protocol.ts'
export { defineProtocol } from './adapter/protocol.ts'
export { SourceDelivery } from './adapter/source-delivery.ts'
export { type SourcePeer, SourceSession, type SourceSessionOptions, sourceBudget } from './adapter/source-session.ts'
export type { GatewayConfig } from './config/schema/types.ts'
export { Envelope, type EnvelopeFields, type Format, formats } from './envelope/envelope.ts'
export { uuidv7 } from './envelope/uuid.ts'
export { type ErrorCode, GatewayError, PermanentError, RetryableError } from './errors.ts'
export { type LoadConfigOptions, loadConfig } from './library/load-config.ts'
export type { Publication } from './library/publishing.ts'
export { type RunningGateway, startGateway } from './library/start-gateway.ts'
export type { GatewayStatus } from './telemetry/status.ts'
