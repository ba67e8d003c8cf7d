/** The code blocks of a page of Markdown, and what becomes of each: no block is left out silently. */

export interface Fence {
  /** The line of the fence itself, counted from 1; the code begins in the next. */
  readonly line: number
  readonly language: string
  /** The words after the language. */
  readonly info: readonly string[]
  readonly code: string
}

/** A block of TypeScript or JavaScript: always checked by the compiler, and executed where its fence says `run`. */
export interface Program {
  readonly fence: Fence
  /** Name of the file in the page's folder; other blocks of the page may import it. */
  readonly file: string
  /** Name of the prelude in `test/fixtures/readme`, for a block that is a fragment. */
  readonly fragment: string | undefined
  readonly run: boolean
  /** What it must print, where a block of output follows. */
  readonly output: string | undefined
}

export interface Page {
  readonly programs: readonly Program[]
  readonly shell: readonly Fence[]
  readonly json: readonly Fence[]
  readonly diagrams: readonly Fence[]
  /** What is wrong with the fences themselves, in sentences that begin with the line. */
  readonly wrong: readonly string[]
}

/** Languages that this repository can neither check nor run, so that nothing is claimed of them. */
const prose = new Set(['text', 'go', 'html', 'diff'])

/** Reads fences of backticks or tildes, also indented ones, as in a list. */
export function fencesOf(markdown: string): Fence[] {
  const fences: Fence[] = []
  let open: { line: number; mark: string; indent: number; language: string; info: string[]; code: string[] } | undefined
  for (const [i, text] of markdown.split(/\r?\n/).entries()) {
    if (open === undefined) {
      const [, indent = '', mark, rest = ''] = /^([ >]*)(`{3,}|~{3,})([^`]*)$/.exec(text) ?? []
      if (mark === undefined) continue
      const [language = '', ...info] = rest.trim().split(/\s+/)
      open = { line: i + 1, mark, indent: indent.length, language, info, code: [] }
    } else {
      const { mark, indent, code, ...head } = open
      if (new RegExp(`^[ >]*${mark[0]}{${mark.length},}\\s*$`).test(text)) {
        fences.push({ ...head, code: code.map((line) => `${line}\n`).join('') })
        open = undefined
      } else {
        code.push(text.slice(0, indent).trim() === '' ? text.slice(indent) : text)
      }
    }
  }
  if (open) fences.push({ line: open.line, language: open.language, info: ['never-closed'], code: open.code.join('\n') })
  return fences
}

export function readPage(markdown: string): Page {
  const programs: Program[] = []
  const shell: Fence[] = []
  const json: Fence[] = []
  const diagrams: Fence[] = []
  const wrong: string[] = []
  const fences = fencesOf(markdown)

  for (const [i, fence] of fences.entries()) {
    const complain = (sentence: string): number => wrong.push(`${fence.line}: ${sentence}`)
    const { language, info } = fence
    let words = info
    if (language === 'ts' || language === 'js') {
      const next = fences[i + 1]
      const follows = next !== undefined && isOutput(next)
      const run = info.includes('run')
      const named = valueOf(info, 'file')
      const fragment = valueOf(info, 'fragment')
      const file = named ?? `block-${fence.line}.${language}`
      if (named !== undefined && !new RegExp(`^[\\w-]+(\\.d)?\\.${language}$`).test(named)) {
        complain(`'file=${named}' is no name of a .${language} file.`)
      } else if (fragment !== undefined && !/^[\w-]+$/.test(fragment)) {
        complain(`'fragment=${fragment}' is no name of a prelude.`)
      } else if (programs.some((program) => program.file === file)) {
        complain(`'file=${file}' is there twice on this page.`)
      } else {
        programs.push({ fence, file, fragment, run, output: run && follows ? next.code : undefined })
      }
      words = info.filter((word) => word !== 'run' && !/^(?:file|fragment)=/.test(word))
    } else if (language === 'sh') {
      shell.push(fence)
    } else if (language === 'json') {
      json.push(fence)
    } else if (language === 'mermaid') {
      diagrams.push(fence)
    } else if (isOutput(fence)) {
      if (!fences[i - 1]?.info.includes('run')) complain('Output stands behind the block that prints it, whose fence says run.')
      words = []
    } else if (language === '') {
      complain("A fence names its language: 'text' where it is none.")
    } else if (!prose.has(language)) {
      complain(`Nothing checks a block of '${language}': write ts, js, sh, json, mermaid, or one of ${[...prose].join(', ')}.`)
    }
    if (words.length > 0) complain(`The fence says '${words.join(' ')}', which means nothing here.`)
  }
  return { programs, shell, json, diagrams, wrong }
}

/** What is wrong with a block of shell commands: each must be of a kind that is known to work in a fresh clone. */
export function checkShell({ line, code }: Fence, scripts: readonly string[]): string[] {
  const wrong: string[] = []
  for (const [i, text] of code.split('\n').entries()) {
    const commands = text.replace(/^\s*#.*/, '').split('&&')
    for (const command of commands.map((one) => one.trim()).filter((one) => one !== '')) {
      const script = /^npm (?:run (?:--silent |-s )?(\S+)|(test)\b)/.exec(command)
      const name = script?.[1] ?? script?.[2]
      if (name === undefined) {
        if (!/^(?:npm ci|npm install|npx \S|git clone \S|cd \S)/.test(command)) {
          wrong.push(`${line + 1 + i}: '${command}' is no script of this package, and nothing else that is known here.`)
        }
      } else if (!scripts.includes(name)) {
        wrong.push(`${line + 1 + i}: package.json has no script '${name}'.`)
      }
    }
  }
  return wrong
}

function isOutput({ language, info }: Fence): boolean {
  return language === 'text' && info.length === 1 && info[0] === 'output'
}

function valueOf(info: readonly string[], key: string): string | undefined {
  return info.find((word) => word.startsWith(`${key}=`))?.slice(key.length + 1)
}
