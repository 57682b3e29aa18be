import { protocols } from '../../protocols/index.ts'
import { configJsonSchema } from '../config/schema/json-schema.ts'

/** Prints the JSON Schema of the configuration. */
export function schema(): void {
  console.log(JSON.stringify(configJsonSchema(protocols), null, 2))
}
