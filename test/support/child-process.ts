import { spawn } from 'node:child_process'

export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  /** It was killed, because it did not end. */
  readonly hung: boolean
}

/** Runs a module in a process of its own, as a user's program: the imports of the package are by its public names. */
export async function run(
  source: string,
  { flags = [], limit = 20_000 }: { flags?: readonly string[]; limit?: number } = {},
): Promise<Outcome> {
  const child = spawn(process.execPath, [...flags, '--input-type=module', '--eval', source], {
    cwd: new URL('../..', import.meta.url),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [stdout, stderr, hung] = ['', '', false]
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  // Only a bound for a test that fails.
  const watchdog = setTimeout(() => {
    hung = true
    child.kill('SIGKILL')
  }, limit)
  try {
    const code = await new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve))
    return { code, stdout, stderr, hung }
  } finally {
    clearTimeout(watchdog)
  }
}
