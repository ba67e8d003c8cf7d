/** The files of the page: what is written here, the package as it is published, and msgpackr. No bundler: the page has an import map. */
import { readFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { extname } from 'node:path'

const root = new URL('../../../', import.meta.url)

/** Where a path of the page's is found. Nothing else is served. */
const folders: readonly (readonly [prefix: string, folder: URL])[] = [
  ['/ctxbridge/', new URL('dist/', root)],
  ['/msgpackr/', new URL('node_modules/msgpackr/', root)],
  ['/code/', new URL('.build/examples/browser/page/', root)],
  ['/', new URL('examples/browser/page/', root)],
]

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}

export async function sendFile({ method, url = '/' }: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    // A path that is none throws.
    const { pathname } = new URL(url, 'http://localhost')
    const path = pathname === '/' ? '/index.html' : pathname
    const type = types[extname(path)]
    const [prefix = '', folder = root] = folders.find(([start]) => path.startsWith(start)) ?? []
    const file = new URL(path.slice(prefix.length), folder)
    if (method !== 'GET' || type === undefined || !file.href.startsWith(folder.href)) throw new Error('not served')
    const body = await readFile(file)
    response.writeHead(200, { 'Content-Type': type, 'Cache-Control': 'no-cache', 'X-Content-Type-Options': 'nosniff' }).end(body)
  } catch {
    response.writeHead(404, { 'Content-Type': 'text/plain' }).end('There is nothing here.')
  }
}
