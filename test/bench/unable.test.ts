/** Nobody is left out of a table because it cannot do what is measured there: it is in it, with the reason. */
import { expect, test } from 'vitest'
import type { Extra } from '../../bench/cases/all.ts'
import type { Contender, Suite } from '../../bench/harness/model.ts'

const built = new URL('../../.build/bench/', import.meta.url)

async function contendersOf(id: string): Promise<readonly Contender[]> {
  const { allSuites } = (await import(new URL('cases/all.js', built).href)) as { allSuites(extra: readonly Extra[]): Suite[] }
  const { peerSuites } = (await import(new URL('peers.js', built).href)) as { peerSuites(): Extra[] }
  const suite = allSuites(peerSuites()).find((one) => one.id === id)
  return (await suite?.contenders()) ?? []
}

test.each(['worker/busy', 'worker/blocked'])(
  'all that is measured with an idle worker is in %s, measured or with a reason',
  async (id) => {
    const idle = await contendersOf('worker/idle')
    const used = idle
      .filter(({ kind }) => kind === 'platform' || kind === 'peer')
      .map(({ name }) => name.replace(", to an 'abort' listener", ''))
    expect(used).toEqual(
      expect.arrayContaining(['transferableAbortSignal', 'Comlink, handler by hand', 'vscode-jsonrpc, messages', 'piscina']),
    )
    const there = await contendersOf(id)
    expect(there.map(({ name }) => name)).toEqual(expect.arrayContaining([...used, 'ctxbridge, by messages alone']))
    for (const { name, start, cannot } of there) {
      expect([name, (start === undefined) !== (cannot === undefined)]).toEqual([name, true])
      if (cannot !== undefined) expect(cannot).toMatch(/^[A-Z].+\.$/)
    }
  },
)
