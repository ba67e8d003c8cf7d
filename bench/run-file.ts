/** Results in files: read with care, since they may be of another version or cut off, and written where they can be. */
import { accessSync, constants, readFileSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Run } from './harness/model.ts'
import { UsageError } from './options.ts'

/**
 * What an earlier run has written.
 *
 * @param who names in the message who needs it, as `--compare`
 * @throws UsageError
 */
export function readRun(file: string, who: string): Run {
  let run: unknown
  try {
    run = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new UsageError(`${who} cannot read ${file}: ${(error as Error).message}.`)
  }
  if (isRun(run)) return run
  const format = (run as { format?: unknown } | null)?.format
  const other =
    typeof format === 'number' && format !== 1 ? `results of format ${format}, and not 1` : 'something else, or a part of it'
  throw new UsageError(`${who} needs results that --json wrote, but ${file} holds ${other}.`)
}

/**
 * Asked before anything is measured, so that nothing is measured in vain.
 *
 * @throws UsageError
 */
export function mustBeWritable(file: string, option: string): void {
  try {
    const found = statSync(file, { throwIfNoEntry: false })
    if (found?.isDirectory()) throw new Error('it is a folder')
    accessSync(found === undefined ? dirname(file) : file, constants.W_OK)
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    throw new UsageError(`${option} cannot write ${file}: ${missing ? 'there is no such folder' : (error as Error).message}.`)
  }
}

type Shape = 'string' | 'number' | ((value: unknown) => boolean)

function has(value: unknown, shapes: Readonly<Record<string, Shape>>): boolean {
  if (typeof value !== 'object' || value === null) return false
  const object = value as Readonly<Record<string, unknown>>
  return Object.entries(shapes).every(([key, shape]) =>
    typeof shape === 'string' ? typeof object[key] === shape : shape(object[key]),
  )
}

const optional = (of: (value: unknown) => boolean) => (value: unknown) => value === undefined || of(value)
const isBoolean = (value: unknown): boolean => typeof value === 'boolean'
const listOf = (of: (value: unknown) => boolean) => (value: unknown) => Array.isArray(value) && value.every(of)
const number = (value: unknown): boolean => typeof value === 'number'
const pair = (value: unknown): boolean => listOf(number)(value) && (value as unknown[]).length === 2
const contender = { name: 'string', kind: 'string' } as const

const result = (value: unknown): boolean =>
  has(value, {
    ...contender,
    proof: 'string',
    count: 'number',
    p50: 'number',
    p90: 'number',
    max: 'number',
    gc: 'number',
    rounds: listOf(number),
    curve: listOf(pair),
  })
const described = { id: 'string', title: 'string', about: 'string', unit: 'string' } as const
const line = (value: unknown): boolean =>
  has(value, {
    name: 'string',
    growth: 'string',
    points: listOf(pair),
    expected: optional((one) => one === 'constant' || one === 'linear'),
  })
const clock = (value: unknown): boolean => has(value, { between: 'string', offset: 'number', error: 'number' })
const machine = { cpu: 'string', cores: 'number', memory: 'number', system: 'string', pinned: 'string', load: pair } as const

/** Whether something read from a file is a run, whole enough for all that is made of one. */
export function isRun(value: unknown): value is Run {
  return has(value, {
    format: (format) => format === 1,
    commit: optional((one) => has(one, { id: 'string', clean: isBoolean })),
    started: 'string',
    seconds: 'number',
    rounds: optional(number),
    machine: (one) => has(one, { ...machine, versions: (versions) => has(versions, {}) }),
    clocks: listOf(clock),
    suites: listOf((one) =>
      has(one, {
        ...described,
        sample: 'string',
        results: listOf(result),
        absent: listOf((its) => has(its, { ...contender, cannot: 'string' })),
        clocks: optional(listOf(clock)),
      }),
    ),
    curves: listOf((one) => has(one, { ...described, axis: 'string', lines: listOf(line) })),
    bars: listOf((one) => has(one, { id: 'string', text: 'string', bar: 'string' })),
    lost: optional(listOf((one) => has(one, { id: 'string', reason: 'string' }))),
  })
}
