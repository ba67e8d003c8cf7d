/**
 * The README and the guides in docs are run. Every block of TypeScript or JavaScript in them is compiled against the
 * package as it is built, every block whose fence says `run` is executed, and every command names something that exists.
 * CONTRIBUTING.md says what a fence may say.
 */

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { execFile } from 'node:child_process'
import { beforeAll, describe, expect, test } from 'vitest'
import { tsc } from './support/compiler.ts'
import { checkShell, fencesOf, type Program, readPage } from './support/markdown.ts'
import { checkMermaid } from './support/mermaid.ts'

const root = new URL('..', import.meta.url)
const out = new URL('.build/readme/', root)
/** Bounds a failure; what a page shows takes far less. */
const timeout = 120_000

const docs = readdirSync(new URL('docs', root))
  .filter((name) => name.endsWith('.md'))
  .map((name) => `docs/${name}`)
const pages = ['README.md', 'CONTRIBUTING.md', ...docs].map((path) => {
  const text = existsSync(new URL(path, root)) ? readFileSync(new URL(path, root), 'utf8') : ''
  return { path, folder: path.replace(/\.md$/, '').replaceAll('/', '-'), ...readPage(text) }
})
const { scripts } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as { scripts: Record<string, string> }

function preludeOf(program: Program): string {
  if (program.fragment === undefined) return ''
  return `${readFileSync(new URL(`test/fixtures/readme/${program.fragment}.ts`, root), 'utf8').trimEnd()}\n`
}

/** What the compiler found, each with the page and the line where it stands. */
let diagnostics: string[] = []

beforeAll(async () => {
  rmSync(out, { recursive: true, force: true })
  for (const { folder, programs } of pages) {
    mkdirSync(new URL(`${folder}/`, out), { recursive: true })
    for (const program of programs) {
      writeFileSync(new URL(`${folder}/${program.file}`, out), preludeOf(program) + program.fence.code)
    }
  }
  const options = {
    module: 'nodenext',
    target: 'ES2023',
    lib: ['ES2023', 'ESNext.Disposable', 'DOM'],
    types: ['node'],
    strict: true,
    allowJs: true,
    checkJs: true,
    moduleDetection: 'force',
    skipLibCheck: true,
    rootDir: '.',
    outDir: 'run',
  }
  writeFileSync(new URL('tsconfig.json', out), JSON.stringify({ compilerOptions: options, include: ['*/*'], exclude: ['run'] }))
  if (pages.every(({ programs }) => programs.length === 0)) return

  // A diagnostic of more than one line goes on indented.
  const found = await tsc('typescript', '-p', fileURLToPath(out))
  diagnostics = found === '' ? [] : found.split(/\n(?! )/).map(locate)
}, timeout)

/** Turns `.build/readme/README/block-12.ts(3,1): error …` into `README.md:15: error …`. */
function locate(diagnostic: string): string {
  const [, folder, file, line, message] = /readme\/([^/]+)\/([^/(]+)\((\d+),\d+\): ([\s\S]*)$/.exec(diagnostic) ?? []
  const page = pages.find((one) => one.folder === folder)
  const program = page?.programs.find((one) => one.file === file)
  if (!page || !program) return diagnostic
  const before = preludeOf(program).split('\n').length - 1
  const inPage = Number(line) - before + program.fence.line
  if (inPage <= program.fence.line) return `${page.path}:${program.fence.line}: in its prelude '${program.fragment}': ${message}`
  return `${page.path}:${inPage}: ${message}`
}

/** The compiled block in a process of its own. */
async function execute(url: URL): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [fileURLToPath(url)], { cwd: root, timeout: 60_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr })
    })
  })
}

test('there is a README, and it shows code', () => {
  expect(pages[0]?.programs.length).toBeGreaterThan(0)
})

describe.for(pages)('$path', ({ path, folder, programs, shell, json, diagrams, wrong }) => {
  test('every fence is of a kind that is checked', () => {
    expect(wrong.map((sentence) => `${path}:${sentence}`)).toEqual([])
  })

  test('every block compiles against the package', () => {
    expect(diagnostics.filter((line) => line.startsWith(`${path}:`))).toEqual([])
  })

  test('every command exists', () => {
    const known = Object.keys(scripts)
    expect(shell.flatMap((fence) => checkShell(fence, known)).map((sentence) => `${path}:${sentence}`)).toEqual([])
  })

  test('every block of JSON can be read', () => {
    for (const { code } of json) expect(() => void JSON.parse(code), code).not.toThrow()
  })

  test('every diagram can be drawn', () => {
    expect(diagrams.flatMap(checkMermaid).map((sentence) => `${path}:${sentence}`)).toEqual([])
  })

  const runs = programs.filter(({ run }) => run).map((program) => ({ ...program, line: program.fence.line }))
  test.for(runs)('the block at line $line runs', { timeout }, async ({ file, output }) => {
    const outcome = await execute(new URL(`run/${folder}/${file.replace(/\.ts$/, '.js')}`, out))
    expect(outcome).toMatchObject({ code: 0, stderr: '' })
    expect(outcome.stdout).toBe(output ?? outcome.stdout)
  })
})

test('the compiler says nothing that belongs to no page', () => {
  expect(diagnostics.filter((line) => !pages.some(({ path }) => line.startsWith(`${path}:`)))).toEqual([])
})

describe('reading a page', () => {
  const page = (...lines: string[]): string => lines.join('\n')

  test('finds fences of backticks and tildes, in lists and quotes, and longer fences around shorter ones', () => {
    const found = fencesOf(
      page('```ts run', 'a', '```', '- x', '  ```js', '  b', '    c', '  ```', '~~~~text', '```', '~~~~', '`x`'),
    )
    expect(found).toEqual([
      { line: 1, language: 'ts', info: ['run'], code: 'a\n' },
      { line: 5, language: 'js', info: [], code: 'b\n  c\n' },
      { line: 9, language: 'text', info: [], code: '```\n' },
    ])
  })

  test('knows what to do with each block', () => {
    const { programs, shell, json, wrong } = readPage(
      page(
        '```ts file=jobs.ts\nexport {}\n```',
        '```ts run\nf()\n```\n```text output\n1\n```',
        '```ts fragment=socket\ng()\n```',
        '```sh\nnpm ci\n```\n```json\n{}\n```\n```go\nx\n```',
      ),
    )
    expect(wrong).toEqual([])
    expect(programs).toMatchObject([
      { file: 'jobs.ts', run: false, fragment: undefined, output: undefined },
      { file: 'block-4.ts', run: true, fragment: undefined, output: '1\n' },
      { file: 'block-10.ts', run: false, fragment: 'socket', output: undefined },
    ])
    expect(shell).toHaveLength(1)
    expect(json).toHaveLength(1)
  })

  test.for<[string, string[]]>([
    ['no language', ['```', 'x', '```']],
    ['a language that nothing checks', ['```typescript', 'x', '```']],
    ['a word that means nothing', ['```ts norun', 'x', '```']],
    ['an output of nothing', ['```ts', 'x', '```', '```text output', '1', '```']],
    ['a name outside its folder', ['```ts file=../x.ts', 'x', '```']],
    ['a name used twice', ['```ts file=x.ts', 'x', '```', '```ts file=x.ts', 'x', '```']],
    ['an empty name', ['```ts file=', 'x', '```']],
    ['a prelude outside its folder', ['```ts fragment=../x', 'x', '```']],
    ['a fence that is never closed', ['```ts', 'x']],
  ])('complains of %s', ([, lines]) => {
    expect(readPage(page(...lines)).wrong).toHaveLength(1)
  })

  test.for<[string, string, string[]]>([
    [
      'a sequence',
      'sequenceDiagram',
      ['participant A as here', 'participant B as there', 'loop all', 'A->>B: call 1', 'B--xA: no', 'end', 'Note over A,B: over'],
    ],
    ['states', 'stateDiagram-v2', ['direction LR', '[*] --> open', 'open --> ended: cancel()', 'ended --> [*]']],
    ['a chart', 'flowchart LR', ['page["a page"] --> gateway --> service["a service"]', 'service -->|"shared memory"| worker']],
  ])('accepts %s', ([, kind, lines]) => {
    expect(checkMermaid({ line: 1, language: 'mermaid', info: [], code: [kind, ...lines, ''].join('\n') })).toEqual([])
  })

  test.for<[string, string, string[]]>([
    ['no kind', 'A --> B', []],
    ['a statement that is none', 'stateDiagram-v2', ['open -> ended']],
    ['a text that ends too soon', 'sequenceDiagram', ['participant A as here', 'A->>A: one; two']],
    ['somebody who was not named', 'sequenceDiagram', ['participant A as here', 'A->>B: call 1']],
    ['a note over somebody who was not named', 'sequenceDiagram', ['participant A as here', 'Note over A,B: text']],
    ['an end that is missing', 'sequenceDiagram', ['loop all']],
    ['an end too many', 'sequenceDiagram', ['end']],
    ['a chart without quotes', 'flowchart LR', ['page[a page] --> gateway']],
  ])('complains of a diagram with %s', ([, kind, lines]) => {
    expect(checkMermaid({ line: 1, language: 'mermaid', info: [], code: [kind, ...lines, ''].join('\n') })).toHaveLength(1)
  })

  test('accepts commands that exist, and no others', () => {
    const check = (code: string): string[] => checkShell({ line: 1, language: 'sh', info: [], code }, ['test', 'demo'])
    expect(
      check('# Comment\nnpm ci && npm test\nnpm run demo -- --fast\nnpx vitest run\ngit clone x\ncd x\nnpm install ctxbridge\n'),
    ).toEqual([])
    expect(check('npm run missing')).toEqual(["2: package.json has no script 'missing'."])
    expect(check('\nnpm ci && rm -rf x')).toHaveLength(1)
    expect(check('npm start')).toHaveLength(1)
  })
})
