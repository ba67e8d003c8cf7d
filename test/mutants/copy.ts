/** A copy of the project that can be broken, one small way after the other. */
import { spawnSync, type SpawnSyncOptionsWithStringEncoding } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Mutant } from './list.ts'

const project = join(import.meta.dirname, '../..')
const folders = ['lib', 'transports', 'test', 'bench', 'examples']
const files = ['package.json', 'tsconfig.json', 'tsconfig.build.json', 'tsconfig.aux.json', 'vitest.config.ts']

export interface Outcome {
  readonly ok: boolean
  /** Whether it came to its end in time. */
  readonly ended: boolean
  readonly out: string
}

/** Take it away with `remove()`. */
export class ProjectCopy {
  /** How long tests may take, in milliseconds. */
  patience = 900_000
  readonly #folder = mkdtempSync(join(tmpdir(), 'ctxbridge-mutants-'))

  constructor() {
    const filter = (source: string): boolean => !source.includes('/node_modules')
    for (const name of [...folders, ...files]) cpSync(join(project, name), join(this.#folder, name), { recursive: true, filter })
    symlinkSync(join(project, 'node_modules'), join(this.#folder, 'node_modules'))
  }

  #node(...args: string[]): Outcome {
    // A group of its own: a worker of the test runner that hangs would outlive the runner.
    const options = {
      cwd: this.#folder,
      encoding: 'utf8',
      timeout: this.patience,
      detached: true,
    } as SpawnSyncOptionsWithStringEncoding
    const { status, stdout, stderr, pid, error } = spawnSync(process.execPath, args, options)
    endGroup(pid)
    return { ok: status === 0, ended: status !== null && error === undefined, out: stdout + stderr }
  }

  /**
   * For tests that use the package by its public names. A mutant may leave something unused; any other error would make tests fail for a reason that is none.
   * @throws Error when it does not compile
   */
  build(): void {
    this.#compile('tsconfig.build.json')
    // What the tests start imports the package by its name: it is compiled once.
    if (!existsSync(join(this.#folder, '.build'))) this.#compile('tsconfig.aux.json')
  }

  #compile(config: string): void {
    const { out } = this.#node('node_modules/typescript/bin/tsc', '-p', config)
    const errors = out.split('\n').filter((line) => /error TS(?!6133|6192|6196|6198)/.test(line))
    if (errors.length > 0) throw new Error(`it does not compile:\n${errors.join('\n')}`)
  }

  passes(...tests: string[]): Outcome {
    return this.#node('node_modules/vitest/vitest.mjs', 'run', '--bail=1', ...tests)
  }

  /**
   * Runs `f` while the copy is broken.
   * @throws Error when the text of the mutant is not in its file exactly once
   */
  broken<T>({ file, original, replacement }: Mutant, f: () => T): T {
    const path = join(this.#folder, file)
    const text = readFileSync(path, 'utf8')
    const count = text.split(original).length - 1
    if (count !== 1) throw new Error(`its original text is ${count} times in ${file}, not once`)
    writeFileSync(
      path,
      text.replace(original, () => replacement),
    )
    try {
      return f()
    } finally {
      writeFileSync(path, text)
    }
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true })
  }
}

function endGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // Nobody of it is left.
  }
}
