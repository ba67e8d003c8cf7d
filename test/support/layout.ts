/**
 * The rules of the layout, as functions from a file's path and source to the sentences that say what is wrong with it.
 * The source is read by a parser: what stands in comments and strings is no code.
 */

import { posix } from 'node:path'
import ts from 'typescript-5.4'

export interface Source {
  /** From the root of the repository, with `/`. */
  readonly path: string
  readonly text: string
}

interface Import {
  readonly from: string
  /** What is imported by name; `undefined` where everything is, as in `import *` or `import()`. */
  readonly names: readonly string[] | undefined
}

/** What checks and names what users give. */
const given = 'lib/given.ts'
/** These stand below everything else, and stay so. */
const leaves = new Set([given, 'lib/errors.ts', 'lib/key.ts', 'lib/clock.ts'])

/** What only `lib/clock.ts` and the transports may name: the time, chance, and the process of one host or another. */
const hostNames = new Set([
  'setTimeout',
  'setInterval',
  'setImmediate',
  'clearTimeout',
  'clearInterval',
  'clearImmediate',
  'performance',
  'crypto',
  'process',
])
const hostMembers = new Set(['Date.now', 'new Date()', 'Math.random'])

/** `lib` runs anywhere: it imports its own files alone. */
export function checkLib({ path, text }: Source): string[] {
  const wrong: string[] = []
  for (const { from } of importsOf(path, text)) {
    const target = resolve(path, from)
    if (!target?.startsWith('lib/')) wrong.push(`${path} imports '${from}', but lib imports nothing outside lib.`)
  }
  return wrong
}

/** Errors, keys and the clock import nothing, except what checks and names what users give; that imports nothing. */
export function checkLeaf({ path, text }: Source): string[] {
  if (!leaves.has(path)) return []
  const wrong: string[] = []
  for (const { from } of importsOf(path, text)) {
    if (path === given || resolve(path, from) !== given)
      wrong.push(`${path} imports '${from}', but it may import nothing except ${given}.`)
  }
  return wrong
}

/** The tree, the frames and the state machine are given their time and their chance; they never ask the host. */
export function checkHostFree({ path, text }: Source): string[] {
  if (path === 'lib/clock.ts' || !path.startsWith('lib/')) return []
  return [...new Set(namesOf(path, text))]
    .filter((name) => hostNames.has(name) || hostMembers.has(name))
    .map((name) => `${path} names ${name}, but time and chance are given to it: by lib/clock.ts or by a transport.`)
}

/** A transport is one file or one folder of transports/. It imports lib, its own files, and what a file is named after. */
export function checkTransport({ path, text }: Source): string[] {
  const wrong: string[] = []
  const [, own = ''] = path.split('/')
  for (const { from } of importsOf(path, text)) {
    const target = resolve(path, from)
    if (target === undefined) {
      if (!from.startsWith('node:') && packageOf(from) !== posix.basename(path, '.ts')) {
        wrong.push(`${path} imports '${from}', but only a file named after that package may.`)
      }
    } else if (!target.startsWith('lib/') && !(target.startsWith(`transports/${own}/`) && own !== posix.basename(path))) {
      wrong.push(`${path} imports '${from}', but a transport imports lib and its own folder, and no other transport.`)
    }
  }
  return wrong
}

/** Tests, measurements and examples see the package by its public names; `whiteBox` lists files, or folders with `/`, that need not. */
export function checkPublicNames({ path, text }: Source, whiteBox: readonly string[]): string[] {
  if (whiteBox.some((exception) => path === exception || (exception.endsWith('/') && path.startsWith(exception)))) return []
  return importsOf(path, text)
    .filter(({ from }) => /^(?:lib|transports|dist)\//.test(resolve(path, from) ?? ''))
    .map(({ from }) => `${path} imports '${from}', but it must use a public name, such as 'ctxbridge'.`)
}

/** Every module that a source names: imports and re-exports, of types too, `import()`, `import('...')` types, require. */
export function importsOf(path: string, text: string): Import[] {
  const found: Import[] = []
  walk(path, text, (node) => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) {
      if (node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier)) {
        found.push({ from: node.moduleSpecifier.text, names: namesIn(node) })
      }
    } else if (ts.isImportTypeNode(node)) {
      if (ts.isLiteralTypeNode(node.argument) && ts.isStringLiteral(node.argument.literal)) {
        found.push({ from: node.argument.literal.text, names: undefined })
      }
    } else if (ts.isCallExpression(node)) {
      const called = node.expression
      const loads = called.kind === ts.SyntaxKind.ImportKeyword || (ts.isIdentifier(called) && called.text === 'require')
      const [first] = node.arguments
      if (loads) {
        found.push({ from: first && ts.isStringLiteralLike(first) ? first.text : 'something computed', names: undefined })
      }
    }
  })
  return found
}

function namesIn(node: ts.ImportDeclaration | ts.ExportDeclaration): string[] | undefined {
  if (ts.isExportDeclaration(node)) return undefined
  const clause = node.importClause
  const bindings = clause?.namedBindings
  if (clause?.name || !bindings || !ts.isNamedImports(bindings)) return undefined
  return bindings.elements.map((element) => (element.propertyName ?? element.name).text)
}

/** Every identifier, every member of a name as `Date.now`, what is reached as `globalThis['name']`, and `new Date()`. */
function namesOf(path: string, text: string): string[] {
  const found: string[] = []
  walk(path, text, (node) => {
    if (ts.isIdentifier(node)) found.push(node.text)
    if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression)) {
      found.push(`${node.expression.text}.${node.name.text}`)
    }
    // With an argument it only converts; without one it reads the clock, and so does a call without `new`.
    if ((ts.isNewExpression(node) && !node.arguments?.length) || ts.isCallExpression(node)) {
      if (ts.isIdentifier(node.expression) && node.expression.text === 'Date') found.push('new Date()')
    }
    if (ts.isElementAccessExpression(node) && ts.isStringLiteralLike(node.argumentExpression)) {
      const member = node.argumentExpression.text
      found.push(member)
      if (ts.isIdentifier(node.expression)) found.push(`${node.expression.text}.${member}`)
    }
  })
  return found
}

function walk(path: string, text: string, visit: (node: ts.Node) => void): void {
  const visitAll = (node: ts.Node): void => {
    visit(node)
    ts.forEachChild(node, visitAll)
  }
  visitAll(ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true))
}

/** The path that a relative import leads to, from the root of the repository; undefined for packages and builtins. */
function resolve(path: string, from: string): string | undefined {
  return from.startsWith('.') ? posix.join(posix.dirname(path), from) : undefined
}

/** `ws` for 'ws', '@scope/name' for '@scope/name/sub'. */
function packageOf(from: string): string {
  return from
    .split('/')
    .slice(0, from.startsWith('@') ? 2 : 1)
    .join('/')
}
