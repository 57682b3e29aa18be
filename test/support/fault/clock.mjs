// Loaded before the program (NODE_OPTIONS=--import …): at each SIGUSR2 the wall clock jumps by TRIVIUM_TEST_JUMP
// milliseconds; TRIVIUM_TEST_CLOCK is how far it is off from the beginning. The monotonic clock goes on as it did.
const realNow = Date.now
const RealDate = Date
let offset = Number(process.env.TRIVIUM_TEST_CLOCK ?? 0)
process.on('SIGUSR2', () => {
  offset += Number(process.env.TRIVIUM_TEST_JUMP)
})

globalThis.Date = class ShiftedDate extends RealDate {
  constructor(...args) {
    if (args.length === 0) super(realNow() + offset)
    else super(...args)
  }
  static now() {
    return realNow() + offset
  }
}
