/**
 * mqtt-packet, below mqtt.js and aedes, keeps a buffer for each of the 65,536 packet ids: 8 MiB, filled at the first packet
 * it writes. Here few of its packets have one (acknowledgements and publishes are written by wire.ts), so it makes them as
 * they come. Whoever imports mqtt or aedes imports this too.
 */
import { writeToStream } from 'mqtt-packet'

writeToStream.cacheNumbers = false
