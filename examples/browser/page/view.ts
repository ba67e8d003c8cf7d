/** What the page shows. Knows nothing of contexts. */
import type { Hop, Progress } from '../work.ts'

function element(id: string): HTMLElement {
  const found = document.getElementById(id)
  if (found === null) throw new Error(`The page has no element ${id}.`)
  return found
}

export const startButton = element('start') as HTMLButtonElement
export const stopButton = element('stop') as HTMLButtonElement
const deadline = element('deadline') as HTMLInputElement
const runs = element('runs')
const number = new Intl.NumberFormat('en')

/** In milliseconds; undefined without one. */
export function chosenDeadline(): number | undefined {
  const ms = Number.parseInt(deadline.value, 10)
  return ms >= 0 ? ms : undefined
}

export function showProgress({ looked, primes }: Progress, since: number): void {
  element('looked').textContent = number.format(looked)
  element('primes').textContent = number.format(primes)
  element('time').textContent = `${((performance.now() - since) / 1_000).toFixed(1)} s`
}

export function showRunning(runs: boolean): void {
  startButton.disabled = runs
  stopButton.disabled = !runs
}

export function showHop(name: string, state: 'live' | 'ended' | '', text: string): void {
  const hop = document.querySelector<HTMLElement>(`[data-hop="${name}"]`)
  if (hop === null) return
  hop.dataset['state'] = state
  const line = hop.querySelector('span')
  if (line !== null) line.textContent = text
}

export function showHops(hops: readonly Hop[]): void {
  for (const { name, end } of hops) showHop(name, 'ended', end)
}

export function showOutcome(text: string): void {
  element('outcome').textContent = text
}

const shown: { readonly kind: string; readonly ms: number }[] = []

/** Adds a run to the list of the last ones, the newest first. */
export function addRun(kind: 'stop' | 'deadline', ms: number): void {
  shown.unshift({ kind, ms })
  shown.length = Math.min(shown.length, 8)
  const longest = Math.max(...shown.map((run) => run.ms))
  runs.replaceChildren(
    ...shown.map((run) => {
      const line = document.createElement('li')
      line.dataset['kind'] = run.kind
      const bar = document.createElement('div')
      bar.className = 'bar'
      bar.style.width = `${(100 * run.ms) / longest}%`
      const label = document.createElement('span')
      label.textContent = run.kind === 'stop' ? 'Stop' : 'deadline'
      const value = document.createElement('span')
      value.textContent = milliseconds(run.ms)
      line.append(label, bar, value)
      return line
    }),
  )
}

export function showLink(state: string): void {
  const pill = element('link')
  pill.dataset['state'] = state
  pill.textContent = { open: 'connected', suspended: 'connecting again', closed: 'closed: reload the page' }[state] ?? state
}

export function showEcho(ms: number): void {
  element('echo').textContent = milliseconds(ms)
}

export function milliseconds(ms: number): string {
  return `${ms.toFixed(ms < 10 ? 1 : 0)} ms`
}
