/** jest refuses an `import()` from tests that run beside each other, so what is loaded when needed is loaded before them. */
import { loadDriver as loadAmqplib } from '../../protocols/amqp/client/connection.ts'
import { loadDriver as loadAedes } from '../../protocols/mqtt/broker/shared-broker.ts'
import { loadDriver as loadMqtt } from '../../protocols/mqtt/client/connection.ts'

for (const load of [loadAmqplib, loadMqtt, loadAedes]) await load()
