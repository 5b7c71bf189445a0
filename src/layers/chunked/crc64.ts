/**
 * The step of CRC-64/ISO for each byte. Its polynomial has its bits so close together that a step changes the upper 16
 * bits alone, which these are.
 */
const steps = Uint16Array.from({ length: 256 }, (_, byte) => {
  let high = 0
  let low = byte
  for (let bit = 0; bit < 8; bit++) {
    const isSet = (low & 1) === 1
    low = (low >>> 1) | ((high & 1) << 7)
    high = (high >>> 1) ^ (isSet ? 0xd800 : 0)
  }
  return high
})

/** CRC-64/ISO as Go's hash/crc64 has it, which tar-split keeps of each file. */
export class Crc64 {
  #high = 0xffffffff | 0
  #low = 0xffffffff | 0

  update(bytes: Uint8Array): void {
    let high = this.#high
    let low = this.#low
    const { length } = bytes
    let at = 0
    for (const whole = length - (length % 4); at < whole; at += 4) {
      // Four steps at once: the feedback of a byte reaches the lowest byte only after the sixth.
      const word =
        low ^
        ((bytes[at] as number) |
          ((bytes[at + 1] as number) << 8) |
          ((bytes[at + 2] as number) << 16) |
          ((bytes[at + 3] as number) << 24))
      const first = steps[word & 0xff] as number
      low = high ^ (first << 24)
      high =
        (first >>> 8) ^
        (steps[(word >>> 8) & 0xff] as number) ^
        ((steps[(word >>> 16) & 0xff] as number) << 8) ^
        ((steps[word >>> 24] as number) << 16)
    }
    for (; at < length; at++) {
      const step = steps[(low ^ (bytes[at] as number)) & 0xff] as number
      low = (low >>> 8) | (high << 24)
      high = (high >>> 8) ^ (step << 16)
    }
    this.#high = high
    this.#low = low
  }

  /** Eight bytes, the most significant first. */
  digest(): Uint8Array {
    const sum = new Uint8Array(8)
    const view = new DataView(sum.buffer)
    view.setInt32(0, ~this.#high)
    view.setInt32(4, ~this.#low)
    return sum
  }
}
