/** The gateway of docs/websocket.md, as it stands there, in a process of its own: what its calls reject with is an answer, and no end of the process. */
import { readFileSync } from 'node:fs'
import { transform } from 'esbuild'
import { expect, test } from 'vitest'
import { run } from '../support/child-process.ts'
import { readPage } from '../support/markdown.ts'

const page = readFileSync(new URL('../../docs/websocket.md', import.meta.url), 'utf8')
const example =
  readPage(page).programs.find(({ fence }) => fence.code.includes('const gateway = createServer('))?.fence.code ?? ''

/** The example, which does `act` before its own request. */
async function gatewayThat(act: string): Promise<string> {
  const [start, request, ...others] = example.split(/^(?=const headers = )/m)
  expect(others).toEqual([])
  if (start === undefined || request === undefined) throw new Error('The page has no such example.')
  const { code } = await transform(`${start}${act}\n${request}`, { loader: 'ts', target: 'es2022' })
  return code
}

const address = '`http://127.0.0.1:${(gateway.address() as AddressInfo).port}`'

test('a client that leaves while its method runs takes the gateway from nobody', async () => {
  const source = await gatewayThat(`
    const { get } = await import('node:http')
    const { cause } = await import('ctxbridge')
    const { trace } = methods
    const left = new Promise<unknown>((resolve) => {
      methods.trace = async (ctx) => {
        methods.trace = trace
        client.destroy()
        await ctx.done
        resolve(cause(ctx))
        throw ctx.err()
      }
    })
    const client = get(${address}).on('error', () => undefined)
    console.log(await left)`)
  const { code, stdout, stderr } = await run(source)
  expect(stderr).toBe('')
  expect(stdout).toBe('the client has gone\n{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}\n')
  expect(code).toBe(0)
})

test('what took too long is 504, and what failed is 502', async () => {
  const source = await gatewayThat(`
    const { trace } = methods
    for (const error of [withTimeout(background(), 0).err(), new Error('broken')]) {
      methods.trace = () => {
        throw error
      }
      console.log((await fetch(${address}, { headers: { connection: 'close' } })).status)
    }
    methods.trace = trace`)
  const { code, stdout, stderr } = await run(source)
  expect(stderr).toBe('')
  expect(stdout).toMatch(/^504\n502\n\{/)
  expect(code).toBe(0)
})
