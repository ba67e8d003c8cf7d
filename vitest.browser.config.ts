/** Tests that run in a real browser. `test/browser.test.ts` starts them, once in an isolated page (ISOLATED=yes) and once in one that is not. */
import { fileURLToPath } from 'node:url'
import { playwright } from '@vitest/browser-playwright'
import { defineConfig } from 'vitest/config'

const isolated = process.env['ISOLATED'] === 'yes'
const dist = (path: string): string => fileURLToPath(new URL(`dist/${path}`, import.meta.url))

export default defineConfig({
  // Here and not in `test`: there the headers do not apply.
  server: {
    headers: isolated ? { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' } : {},
  },
  define: { ISOLATED: String(isolated) },
  resolve: {
    alias: [
      { find: /^ctxbridge$/, replacement: dist('lib/index.js') },
      { find: /^ctxbridge\/websocket$/, replacement: dist('transports/websocket/browser.js') },
      { find: /^ctxbridge\/worker$/, replacement: dist('transports/worker/index.js') },
      { find: /^ctxbridge\/comlink$/, replacement: dist('transports/worker/install.js') },
    ],
  },
  optimizeDeps: { include: ['comlink', 'msgpackr'] },
  worker: { format: 'es' },
  // Of its own: both kinds of page are tested at once.
  cacheDir: `node_modules/.vite/${isolated ? 'isolated' : 'plain'}`,
  test: {
    include: ['test/browser/*.browser.ts'],
    globalSetup: ['test/browser/websocket-server.ts'],
    testTimeout: 30_000,
    allowOnly: false,
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      provider: playwright({
        launchOptions: {
          executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
          args: [
            '--no-sandbox',
            '--disable-gpu',
            '--disable-quic',
            '--no-first-run',
            '--disable-background-networking',
            '--disable-component-update',
            '--disable-sync',
            '--js-flags=--expose-gc',
          ],
        },
      }),
      instances: [{ browser: 'chromium' }],
    },
  },
})
