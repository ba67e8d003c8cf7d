/** A run as one page: it loads nothing, runs no script, and can be read on a phone and in the dark. */
import { pretty } from './axis.ts'
import { cdfChart, curveChart, dotChart, expectedOf, limitOf, tailOf } from './charts.ts'
import { commitText } from './commit.ts'
import { headlineChart, headlineTail } from './headline.ts'
import { type BarResult, type CurveResult, failuresOf, type Kind, type Result, type Run, type SuiteResult } from './model.ts'
import { style } from './report-style.ts'
import { clocksText, escape, figures, spread } from './text.ts'

const kinds: Record<Kind, string> = {
  ours: 'ctxbridge',
  limit: 'physical limit',
  platform: 'the platform',
  peer: 'another library',
  go: 'Go',
}

/** Chapters, by what the ids of their suites begin with. */
const chapters: readonly (readonly [id: string, title: string, ids: RegExp])[] = [
  [
    'latency',
    'How soon the other side knows',
    /^(thread|deadline|browser|rate)\/|^worker\/(busy|idle|blocked)$|^websocket\/(cancel|two-hops)$/,
  ],
  ['calls', 'Calls, jobs and storms', /^(pool|worker|websocket)\//],
  ['cost', 'What a context costs', /^core\//],
  ['other', 'More', /^/],
]

export function reportOf(run: Run): string {
  const { machine, commit } = run
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`)
  const met = run.bars.filter((bar) => bar.met === true).length
  const parts = chaptersOf(run.suites)
  const headline = headlineChart(run)
  const failures = failuresOf(run)
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>ctxbridge, measured</title>
<style>${style}</style>
</head>
<body>
<nav aria-label="chapters"><b>ctxbridge</b>${run.bars.length === 0 ? '' : '<a href="#bars">Bars</a>'}${parts.map(([id, title]) => `<a href="#${id}">${escape(title)}</a>`).join('')}${run.curves.length === 0 ? '' : '<a href="#scale">How costs grow</a>'}</nav>
<header>
<h1>ctxbridge, measured</h1>
<p>How long a cancel takes to arrive, and what a context costs; beside what a path could do at best, and what else there is. All of it from one run, in which all took turns.</p>
${headline === '' ? '' : `<div class="headline">${headline}<p><small>From cancel() until the other side has seen it, in the rounds of one run: the dot is the median, the line ends at the ${headlineTail(run).slice(1)}th percentile. A logarithmic axis.</small></p></div>`}
<dl>
<dt>When</dt><dd>${escape(run.started.slice(0, 16).replace('T', ' '))} UTC, ${run.seconds} s</dd>
${commit === undefined ? '' : `<dt>Commit</dt><dd>${escape(commitText(commit))}</dd>\n`}<dt>Where</dt><dd>${escape(machine.cpu)}, ${machine.cores} cores, ${escape(machine.system)}</dd>
${run.rounds === undefined ? '' : `<dt>Rounds</dt><dd>${run.rounds} of each suite, as was asked for, instead of its own number</dd>\n`}<dt>With</dt><dd>${escape(versions.join(', '))}</dd>
<dt>Pinned</dt><dd>${escape(machine.pinned)}</dd>
<dt>Load</dt><dd>${machine.load[0]} before, ${machine.load[1]} after${machine.load[0] > 0.5 ? ': something else ran, so trust ratios more than single numbers' : ''}</dd>
${run.clocks.map(({ between, offset, error }) => `<dt>Clock</dt><dd>${escape(between)}: ${signed(offset)}, give or take ${pretty(error, 'ns')}</dd>`).join('\n')}
</dl>
${failures.length === 0 ? '' : `<p class="failed">This run is not whole. ${failures.map((one) => escape(one)).join('<br>')}</p>`}
<ul class="legend">${(Object.keys(kinds) as Kind[]).map((kind) => `<li class="${kind}"><i></i>${kinds[kind]}</li>`).join('')}</ul>
<p><small>p50 is the median, and half of the samples took no longer; p90, p99 and p99.9 likewise. first: the median of the very first round, in which the code was new. spread: half the distance between the quarters of the rounds' medians, as a share of the middle one. gc: the share of the time that the garbage collector took.</small></p>
</header>
<main>
${run.bars.length === 0 ? '' : `<section id="bars"><h2>Bars: ${met} of ${run.bars.length} met</h2>\n${bars(run.bars)}</section>`}
${parts.map(([id, title, suites]) => `<h3 id="${id}">${escape(title)}</h3>\n${suites.map(suite).join('\n')}`).join('\n')}
${run.curves.length === 0 ? '' : `<h3 id="scale">How costs grow</h3>\n${run.curves.map(curve).join('\n')}`}
</main>
</body>
</html>
`
}

function chaptersOf(suites: readonly SuiteResult[]): [id: string, title: string, suites: SuiteResult[]][] {
  const left = new Set(suites)
  return chapters.flatMap(([id, title, ids]) => {
    const found = [...left].filter((one) => ids.test(one.id))
    for (const one of found) left.delete(one)
    return found.length === 0 ? [] : [[id, title, found]]
  })
}

function signed(offset: number): string {
  return `${offset < 0 ? '−' : '+'}${pretty(Math.abs(offset), 'ns')}`
}

function bars(all: readonly BarResult[]): string {
  const rows = all.map((bar) => {
    const { text, bar: words, measured, met, reason } = bar
    const verdict = met === undefined ? 'open' : met ? 'met' : 'missed'
    const value =
      measured === undefined ? 'not measured' : figures(measured) + (words.endsWith('x') ? 'x' : ` ${words.split(' ').at(-1)}`)
    return `<li class="${verdict}"><span class="verdict">${verdict}</span><span class="what">${escape(text)}${reason === undefined ? '' : `<small>${escape(reason)}</small>`}</span>${gauge(bar)}<span class="value">${value}<small>${escape(words)}</small></span></li>`
  })
  return `<p>Each is held against what the project has set itself. The line in the middle is the bar: green ends before it, red beyond it; a whole half is a factor of 30.</p>
<ol class="bars">${rows.join('\n')}</ol>`
}

/** How far from the bar, by logarithm: at the middle it is just met. */
function gauge({ bar, measured }: BarResult): string {
  const wanted = Number(/[\d.]+/.exec(bar)?.[0])
  if (measured === undefined || !(wanted > 0)) return '<span></span>'
  const score = bar.startsWith('at most') ? measured / wanted : wanted / measured
  const to = Math.min(100, Math.max(2, 50 + (50 * Math.log(score)) / Math.log(30)))
  return `<span class="gauge" style="--to:${to.toFixed(1)}%"></span>`
}

function suite(result: SuiteResult): string {
  const { id, title, about, unit, sample, results, absent, clocks } = result
  const event = sample === 'event'
  const columns: readonly (readonly [name: string, cell: (r: Result) => string, rare?: true])[] = [
    ['p50', (r) => pretty(r.p50, unit)],
    ['p90', (r) => pretty(r.p90, unit)],
    ...(event
      ? ([
          ['p99', (r: Result) => pretty(r.p99, unit)],
          ['p99.9', (r: Result) => pretty(r.p999, unit), true],
          ['first', (r: Result) => pretty(r.first, unit), true],
        ] as const)
      : []),
    ['max', (r) => pretty(r.max, unit), true],
    ['spread', (r) => spread(r.rounds), true],
    ['samples', (r) => r.count.toLocaleString('en'), true],
    ['gc', (r) => `${(r.gc * 100).toFixed(1)} %`, true],
  ]
  const of = (rare: true | undefined): string => (rare === undefined ? '' : ' class="rare"')
  const rows = results.map(
    (r) =>
      `<tr class="${r.kind}"><th scope="row"><i></i>${escape(r.name)}${r.note === undefined ? '' : `<small>${escape(r.note)}</small>`}<small class="proof">proof: ${escape(r.proof)}</small></th>${columns.map(([, cell, rare]) => `<td${of(rare)}>${cell(r)}</td>`).join('')}</tr>`,
  )
  const missing = absent.map(
    ({ name, kind, cannot }) =>
      `<tr class="${kind} absent"><th scope="row"><i></i>${escape(name)}</th><td colspan="${columns.length}">${escape(cannot)}</td></tr>`,
  )
  return `<section id="${escape(id)}"><h2>${escape(title)}<code>${escape(id)}</code></h2>
<p>${escape([about, ...(event ? [] : ['Each sample is the mean of a batch.']), clocksText(clocks).replace(' us', ' µs')].join(' ').trim())}</p>
${charts(result)}
<div class="scroll"><table><thead><tr><th></th>${columns.map(([name, , rare]) => `<th${of(rare)}>${name}</th>`).join('')}</tr></thead><tbody>${[...rows, ...missing].join('\n')}</tbody></table></div>
</section>`
}

function charts(result: SuiteResult): string {
  const { id, sample, results } = result
  if (results.length === 0) return ''
  const line = limitOf(results) === undefined ? '' : '; dashed: the fastest limit (1x)'
  const dots = `<figure><figcaption>${sample === 'event' ? `median, and the way to ${tailOf(results)}` : 'median, and the middle half of the rounds'}${line}</figcaption>${dotChart(result)}</figure>`
  const cdf = sample === 'event' ? cdfChart(result, `${id}/curves`) : ''
  if (cdf === '') return `<div class="charts">${dots}</div>`
  const caption = 'share of the samples that took no longer: each before all the others'
  return `<div class="charts">${dots}<figure><figcaption>${caption}</figcaption>${cdf}</figure></div>`
}

/** What the dotted lines of a chart are. */
function dottedText(lines: CurveResult['lines']): string {
  const texts = { constant: 'what would be constant', linear: 'what would grow linearly' }
  return expectedOf(lines)
    .map((growth) => texts[growth])
    .join(', and ')
}

function curve(result: CurveResult): string {
  const { id, title, about, lines } = result
  return `<section id="${escape(id)}"><h2>${escape(title)}<code>${escape(id)}</code></h2>
<div class="charts"><figure>${curveChart(result)}</figure>
<div><p>${escape(about)} Dotted: ${dottedText(lines)}. A knee is a step between neighbours that is steeper than that by more than half a power, from 100 on, or from a hundredth of the greatest count, whichever is less.</p>
<ul class="legend">${lines.map(({ name, growth }, i) => `<li class="line${i}"><i></i>${escape(name)}: <span${growth.includes('knee') ? ' class="knee"' : ''}>${escape(growth)}</span></li>`).join('')}</ul></div></div>
</section>`
}
