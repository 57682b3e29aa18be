/** `npm run brokers`: the brokers in the foreground, until Ctrl-C. */
import { once } from 'node:events'
import { startBrokers } from './start.ts'

const brokers = await startBrokers()
console.log(`Brokers run (${brokers.how}); Ctrl-C ends them. In another terminal:`)
for (const [name, address] of Object.entries(brokers.env)) console.log(`export ${name}=${address}`)

const alive = setInterval(() => {}, 60_000)
await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
clearInterval(alive)
await brokers.stop()
