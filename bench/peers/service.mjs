// What other libraries do between processes: one cancel, and ten thousand at once.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { ways } from './service-ways.mjs'

async function far({ Reports, pinUrl }, role) {
  const child = fork(new URL('far-service.mjs', import.meta.url), [role, pinUrl], { execArgv: [] })
  const reports = new Reports()
  const exited = once(child, 'exit')
  let closing = false
  void exited.then(() => closing || reports.fail(new Error('The far process has exited.')))
  const [{ port }] = await once(child, 'message')
  child.on('message', ({ report }) => reports.add(report))
  return {
    port,
    reports,
    /** From now on so many calls are reported as one. */
    async expect(calls) {
      child.send({ expect: calls })
      await reports.ready()
    },
    async close() {
      closing = true
      child.disconnect()
      await exited
    },
  }
}

export const cancel = (kit) =>
  ways.map(({ name, role, note, carries, perConnection = Infinity, connect }) =>
    kit.latency({
      name,
      kind: 'peer',
      note,
      ...(carries !== undefined && { carries }),
      async start() {
        const it = await far(kit, role)
        let connection = await connect(it.port)
        let events = 0
        return {
          reports: it.reports,
          async arm() {
            if (++events % perConnection === 0) {
              await connection.close()
              connection = await connect(it.port)
            }
            return connection.watch()
          },
          async close() {
            await connection.close()
            await it.close()
          },
        }
      },
    }),
  )

const manyCalls = 10_000

/** Opens so many calls and ends them at once, on a new connection. Rejects when another call on the same connection does not live through it. */
async function strike(it, connect, { now, rest }, calls) {
  await it.expect(calls)
  const connection = await connect(it.port)
  try {
    const lost = []
    const other = connection.hold()
    other.catch((error) => lost.push(error))
    const cancels = Array.from({ length: calls }, () => connection.watch())
    await it.reports.ready()
    await rest()
    const before = now()
    const settled = cancels.map((cancel) => cancel())
    const { at } = await it.reports.seen()
    await Promise.all(settled)
    if (lost.length > 0) throw lost[0]
    await Promise.race([connection.go().then(() => other), other])
    return at - before
  } finally {
    await connection.close()
  }
}

/** How many at once each is proven with: HTTP/2's guard ends a connection above the second of them. */
const sizes = [125, 1_000, 1_500, 2_000, manyCalls]

export const storm = (kit) =>
  ways.map(({ name, role, note, connect }) => ({
    name,
    kind: 'peer',
    note: note.split(':')[0],
    async start() {
      let it = await far(kit, role)
      return {
        async prove() {
          const [lived, lost] = [[], []]
          let reason
          for (const calls of sizes) {
            try {
              await strike(it, connect, kit, calls)
              lived.push(calls)
            } catch (error) {
              if (lived.length === 0) throw error
              lost.push(calls)
              reason ??= error.message
              // What it may still report is not of the next one.
              await it.close()
              it = await far(kit, role)
            }
          }
          if (lost.length > 0)
            throw new kit.Cannot(
              `A call that has nothing to do with them lives through ${kit.listed(lived)} cancels at once; ${kit.listed(lost)} end the connection, and that call with it: ${reason}`,
            )
          return `another call on the same connection lived through ${kit.listed(lived)} cancels at once, of which all were seen`
        },
        round: async (record) => record(await strike(it, connect, kit, manyCalls)),
        close: () => it.close(),
      }
    },
  }))
