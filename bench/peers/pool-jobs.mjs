/** With a flag: is busy for ever, and has said so. */
export default function run({ flag }) {
  if (flag === undefined) return 1
  Atomics.store(flag, 0, 1)
  for (;;);
}
