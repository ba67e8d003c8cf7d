/** Inputs as files: what failed once is kept, and tried again by every run of the tests. */
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { deserialize, serialize } from 'node:v8'
import type { Failure } from './runner.ts'

export interface Saved {
  readonly target: string
  /** What it was that failed. */
  readonly error: string
  readonly input: unknown
}

const folder = join(import.meta.dirname, 'regressions')

/** Writes a failure where the tests find it; returns the path. */
export function save({ target, input, error }: Failure): string {
  const text = `${JSON.stringify({ target, error: String(error), input: toJson(input) }, undefined, 2)}\n`
  const path = join(folder, `${target}-${createHash('sha256').update(text).digest('hex').slice(0, 8)}.json`)
  mkdirSync(folder, { recursive: true })
  writeFileSync(path, text)
  return path
}

export function load(path: string): Saved {
  const { target, error, input } = JSON.parse(readFileSync(path, 'utf8')) as Saved
  return { target, error, input: fromJson(input) }
}

export function saved(): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .map((name) => join(folder, name))
}

/** Bytes are hex digits under `$hex`, and what JSON does not have is in the form of `v8.serialize` under `$v8`. */
function toJson(value: unknown): unknown {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value
  if (typeof value === 'number' && Number.isFinite(value) && !Object.is(value, -0)) return value
  if (value instanceof Uint8Array) return { $hex: Buffer.from(value).toString('hex') }
  try {
    if (Array.isArray(value)) return value.map(toJson)
    if (typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype) {
      return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, toJson(member)]))
    }
  } catch {
    // Of a cycle there is no end.
  }
  return { $v8: serialize(value).toString('base64') }
}

function fromJson(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(fromJson)
  if (typeof value !== 'object' || value === null) return value
  const { $hex, $v8 } = value as { readonly $hex?: string; readonly $v8?: string }
  if ($hex !== undefined) return new Uint8Array(Buffer.from($hex, 'hex'))
  if ($v8 !== undefined) return deserialize(Buffer.from($v8, 'base64'))
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, fromJson(member)]))
}
