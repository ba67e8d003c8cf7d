/** What a measurement found once, and must stay so. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

test('no class of the tree defines its fields before its constructor sets them', () => {
  for (const file of ['tree', 'context', 'source']) {
    const text = readFileSync(new URL(`../../dist/lib/${file}.js`, import.meta.url), 'utf8')
    // Private ones cannot be left out.
    expect(text.match(/^ {4}[a-z]\w*;$/gm), `dist/lib/${file}.js: see useDefineForClassFields in tsconfig.build.json`).toBeNull()
  }
})
