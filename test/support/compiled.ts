/**
 * Where the compiled form of a file of this repository lies that is not published, for a `Worker` or a child process:
 * `compiled('test/fixtures/busy.ts')`. What `npm run build:aux` compiles can be asked for.
 */
export function compiled(path: string): URL {
  return new URL(`../../.build/${path.replace(/\.ts$/, '.js')}`, import.meta.url)
}
