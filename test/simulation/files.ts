/** Failures that were found, as files: the plan, made small, and what was wrong with it. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { Plan } from './plan.ts'

const folder = new URL('../regressions/', import.meta.url)

export interface Saved {
  /** What was wrong when it was found. */
  readonly failure: string
  readonly events: number
  readonly plan: Plan
}

export function load(path: string | URL): Saved {
  return JSON.parse(readFileSync(path, 'utf8')) as Saved
}

/** Gives the path. */
export function save(saved: Saved): string {
  mkdirSync(folder, { recursive: true })
  const url = new URL(`simulation-${saved.plan.seed}.json`, folder)
  writeFileSync(url, `${JSON.stringify(saved, undefined, 1)}\n`)
  return url.pathname
}

export function regressions(): [name: string, saved: Saved][] {
  return readdirSync(folder)
    .filter((name) => name.startsWith('simulation-'))
    .map((name) => [name, load(new URL(name, folder))])
}
