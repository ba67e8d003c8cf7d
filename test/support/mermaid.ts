/**
 * Diagrams in the documentation, which a browser draws: those parts of Mermaid's language that are in use here. A page with a diagram that is not understood shows an
 * error in its place, and nobody would notice.
 */

import type { Fence } from './markdown.ts'

const word = String.raw`[A-Za-z]\w*`
const node = String.raw`${word}(?:\["[^"\[\]]+"\])?`
/** What Mermaid would take for the end of a statement, or for a comment, stands in no text. */
const text = '[^;%#]+'

const statements: Readonly<Record<string, readonly RegExp[]>> = {
  sequenceDiagram: [
    new RegExp(`^participant ${word} as ${text}$`),
    new RegExp(`^${word}(?:->>|-->>|-x|--x)${word}: ${text}$`),
    new RegExp(`^Note (?:over ${word}(?:,${word})?|(?:left|right) of ${word}): ${text}$`),
    new RegExp(`^(?:alt|opt|loop|par|else|and)(?: ${text})?$`),
    /^end$/,
  ],
  'stateDiagram-v2': [
    /^direction (?:LR|TB)$/,
    new RegExp(`^(?:\\[\\*\\]|${word}) --> (?:\\[\\*\\]|${word})(?:: ${text})?$`),
    new RegExp(`^state "[^"]+" as ${word}$`),
  ],
  'flowchart LR': [new RegExp(`^${node}(?: --> ${node}| -->\\|"[^"|]+"\\| ${node})*$`)],
  'flowchart TB': [new RegExp(`^${node}(?: --> ${node}| -->\\|"[^"|]+"\\| ${node})*$`)],
}

/** What is wrong with a diagram, in sentences that begin with the line. */
export function checkMermaid({ line, code }: Fence): string[] {
  const [kind = '', ...rest] = code.trimEnd().split('\n')
  const known = statements[kind]
  if (known === undefined) return [`${line + 1}: '${kind}' is no kind of diagram that is known here.`]
  const wrong: string[] = []
  const named = new Set<string>()
  let depth = 0
  for (const [i, one] of rest.entries()) {
    const statement = one.trim()
    const complain = (sentence: string): number => wrong.push(`${line + 2 + i}: ${sentence}`)
    if (statement === '') continue
    if (!known.some((form) => form.test(statement))) {
      complain(`'${statement}' is no statement of a ${kind} that is known here.`)
      continue
    }
    if (kind !== 'sequenceDiagram') continue
    const [, participant] = /^participant (\w+)/.exec(statement) ?? []
    if (participant !== undefined) named.add(participant)
    const [, from, to] =
      /^(\w+)(?:->>|-->>|-x|--x)(\w+):/.exec(statement) ??
      /^Note (?:over|left of|right of) (\w+)(?:,(\w+))?:/.exec(statement) ??
      []
    for (const who of [from, to]) {
      if (who !== undefined && !named.has(who)) complain(`Nobody is '${who}': name each participant before it says anything.`)
    }
    if (/^(?:alt|opt|loop|par)\b/.test(statement)) depth++
    if (statement === 'end' && --depth < 0) complain("There is an 'end' too many.")
  }
  if (depth > 0) wrong.push(`${line}: An 'end' is missing.`)
  return wrong
}
