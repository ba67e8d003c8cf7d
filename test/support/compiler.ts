import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = new URL('../..', import.meta.url)

/** Runs a compiler of node_modules in the root of the repository; gives what it printed, which is empty when all is well. */
export async function tsc(compiler: 'typescript' | 'typescript-5.4', ...args: string[]): Promise<string> {
  const bin = fileURLToPath(new URL(`node_modules/${compiler}/bin/tsc`, root))
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [bin, '--pretty', 'false', ...args],
      { cwd: root, maxBuffer: 2 ** 24 },
      (error, stdout, stderr) => {
        const output = `${stdout}${stderr}`.trim()
        // A compiler that failed and said nothing must not look like one that found nothing.
        resolve(error && output === '' ? String(error) : output)
      },
    )
  })
}
