/** Another copy of the package, as a library may bring its own: the same files elsewhere, where the peers are found, too. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = new URL('../..', import.meta.url)

export interface Copy {
  /** Its folder `dist`, as a URL that ends with a slash. */
  readonly href: string
  remove(): void
}

export interface CopyOptions {
  /** What it says of itself, where that is not the version of this one. */
  readonly version?: string
  /** The version of the protocol of threads that it speaks, where that is not this one's. */
  readonly protocol?: number
  /** Whether it finds a Comlink of its own, as one does that was bundled with it. */
  readonly comlink?: boolean
}

export function copyPackage({ version, protocol, comlink = false }: CopyOptions = {}): Copy {
  const build = fileURLToPath(new URL('.build/', root))
  mkdirSync(build, { recursive: true })
  const folder = mkdtempSync(`${build}copy-`)
  for (const name of ['dist', 'package.json', ...(comlink ? ['node_modules/comlink'] : [])])
    cpSync(new URL(name, root), `${folder}/${name}`, { recursive: true })
  const change = (path: string, what: RegExp, to: string): void => {
    const file = `${folder}/dist/${path}`
    const text = readFileSync(file, 'utf8')
    const changed = text.replace(what, to)
    if (changed === text) throw new Error(`No version stands in ${file}.`)
    writeFileSync(file, changed)
  }
  if (version !== undefined) change('lib/bridge/copies.js', /(?<=version = ')[^']+/, version)
  if (protocol !== undefined) change('transports/worker/messages.js', /(?<=VERSION = )\d+/, String(protocol))
  const { href } = pathToFileURL(folder)
  return {
    href: `${href}/dist/`,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

/** The modules of a copy. */
export interface Modules {
  readonly core: typeof import('ctxbridge')
  readonly worker: typeof import('ctxbridge/worker')
  readonly comlink: typeof import('ctxbridge/comlink')
  readonly port: typeof import('ctxbridge/message-port')
  readonly piscina: typeof import('ctxbridge/piscina')
  /** That which the copy finds. */
  readonly Comlink: typeof import('comlink')
}

export async function modulesOf({ href }: Copy): Promise<Modules> {
  const load = async (path: string): Promise<never> => (await import(/* @vite-ignore */ href + path)) as never
  return {
    core: await load('lib/index.js'),
    worker: await load('transports/worker/index.js'),
    comlink: await load('transports/worker/install.js'),
    port: await load('transports/websocket/message-port.js'),
    piscina: await load('transports/worker/piscina.js'),
    Comlink: createRequire(`${href}lib/index.js`)('comlink') as never,
  }
}
