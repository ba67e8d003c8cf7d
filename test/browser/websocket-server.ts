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

let server: ChildProcess | undefined

export async function setup(project: TestProject): Promise<void> {
  const child = spawn(process.execPath, [fileURLToPath(compiled('test/fixtures/browser-server.ts'))], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  project.provide('url', line.toString().trim())
  server = child
}

export function teardown(): void {
  server?.kill()
}
