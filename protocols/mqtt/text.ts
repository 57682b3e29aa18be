/** What MQTT's strings may hold. */
// [MQTT-1.5.4-1] and [MQTT-1.5.4-2] forbid surrogates and NUL; the other controls and non-characters make brokers hang up
const unsafe = /[\p{Cc}\p{Noncharacter_Code_Point}\p{Surrogate}]/u
const unsafeAll = /[\p{Cc}\p{Noncharacter_Code_Point}]/gu
const maxBytes = 65_535

/** True for a text that any broker takes. */
export function isMqttText(text: string): boolean {
  const { length } = text
  if (length > maxBytes / 3 && Buffer.byteLength(text) > maxBytes) return false
  for (let i = 0; i < length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x20 || unit > 0x7e) return !unsafe.test(text)
  }
  return true
}

/** JSON with escapes for what MQTT's strings may not hold. */
export function mqttJson(json: string): string {
  return json.replaceAll(unsafeAll, (character) => {
    let escaped = ''
    for (let i = 0; i < character.length; i++) escaped += `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`
    return escaped
  })
}
