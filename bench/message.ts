const keys = 1000

/** About 300 bytes of JSON, as a device would send. */
export function messageOf(n: number): { key: string; body: string } {
  const key = `device-${n % keys}`
  const reading = { device: key, n, temperature: (n % 400) / 10, humidity: 40 + (n % 50), status: 'ok', site: 'berlin' }
  const body = JSON.stringify({
    ...reading,
    at: '2026-01-02T03:04:05.678Z',
    firmware: '1.22.333',
    text: 'x'.repeat(110),
  })
  return { key, body }
}
