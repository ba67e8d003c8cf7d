/** The script of a page of these tests, whole. */
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

export async function bundled(page: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(page, import.meta.url))],
    bundle: true,
    format: 'iife',
    target: 'es2022',
    write: false,
  })
  return outputFiles[0]?.text ?? ''
}
