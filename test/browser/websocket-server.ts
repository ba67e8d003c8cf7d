/** Starts the server of the WebSocket tests beside the page, in a process of its own: here `ctxbridge` means what it means in a page. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { TestProject } from 'vitest/node'
import { fileURLToPath } from 'node:url'
import { compiled } from '../support/compiled.ts'

declare module 'vitest' {
  interface ProvidedContext {
    readonly url: string
  }
}

let server: Promise<{ readonly child: ChildProcess; readonly url: string }> | undefined

async function start(): Promise<{ readonly child: ChildProcess; readonly url: string }> {
  const child = spawn(process.execPath, [fileURLToPath(compiled('test/fixtures/browser-server.ts'))], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return { child, url: line.toString().trim() }
}

/** Called for the whole and for each browser of it: a second server would be forgotten, and its process keep the test runner from its end. */
export async function setup(project: TestProject): Promise<void> {
  const { url } = await (server ??= start())
  project.provide('url', url)
}

export async function teardown(): Promise<void> {
  const { child } = (await server) ?? {}
  child?.kill()
}
