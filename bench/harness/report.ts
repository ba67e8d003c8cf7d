/** A run as one page: it loads nothing, runs no script, and can be read on a phone and in the dark. */
import { barChart, cdfChart, curveChart } from './charts.ts'
import type { BarResult, CurveResult, Kind, Run, SuiteResult } from './model.ts'
import { escape, figures, show } from './text.ts'

const kinds: Record<Kind, string> = {
  ours: 'ctxbridge',
  limit: 'physical limit',
  platform: 'the platform',
  peer: 'another library',
  go: 'Go',
}

export function reportOf(run: Run): string {
  const { machine } = run
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`)
  const met = run.bars.filter((bar) => bar.met === true).length
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
<header>
<h1>ctxbridge, measured</h1>
<p>How long a cancel takes to arrive, and what a context costs; beside what a path could do at best, and what else there is. All of it from one run.</p>
<dl>
<dt>When</dt><dd>${escape(run.started.slice(0, 16).replace('T', ' '))} UTC, ${run.seconds} s</dd>
<dt>Where</dt><dd>${escape(machine.cpu)}, ${machine.cores} cores, ${escape(machine.system)}</dd>
<dt>With</dt><dd>${escape(versions.join(', '))}</dd>
<dt>Pinned</dt><dd>${escape(machine.pinned)}</dd>
<dt>Load</dt><dd>${machine.load[0]} before, ${machine.load[1]} after${machine.load[0] > 0.5 ? ': something else ran, so trust ratios more than single numbers' : ''}</dd>
${run.clocks.map(({ between, offset, error }) => `<dt>Clock</dt><dd>${escape(between)}: ${signed(offset)}, give or take ${show(error, 'ns')}</dd>`).join('\n')}
</dl>
<ul class="legend">${(Object.keys(kinds) as Kind[]).map((kind) => `<li class="${kind}"><i></i>${kinds[kind]}</li>`).join('')}</ul>
</header>
<main>
${run.bars.length === 0 ? '' : `<section id="bars"><h2>Bars: ${met} of ${run.bars.length} met</h2>\n${bars(run.bars)}</section>`}
${run.suites.map(suite).join('\n')}
${run.curves.map(curve).join('\n')}
</main>
</body>
</html>
`
}

function signed(offset: number): string {
  return `${offset < 0 ? '−' : '+'}${show(Math.abs(offset), 'ns')}`
}

function bars(all: readonly BarResult[]): string {
  const rows = all.map(
    ({ text, bar, measured, met, reason }) =>
      `<tr class="${met === undefined ? 'unknown' : met ? 'met' : 'missed'}"><td>${met === undefined ? '–' : met ? '✓' : '✗'}</td><td>${escape(text)}${reason === undefined ? '' : `<small>${escape(reason)}</small>`}</td><td>${measured === undefined ? 'not measured' : figures(measured)}</td><td>${escape(bar)}</td></tr>`,
  )
  return `<div class="scroll"><table><thead><tr><th></th><th class="text">what</th><th>measured</th><th>bar</th></tr></thead><tbody>${rows.join('\n')}</tbody></table></div>`
}

function suite(result: SuiteResult): string {
  const { id, title, about, unit, sample, results, absent } = result
  const event = sample === 'event'
  const columns = event ? ['p50', 'p90', 'p99', 'p99.9', 'max', 'samples', 'gc'] : ['p50', 'p90', 'max', 'samples', 'gc']
  const rows = results.map((r) => {
    const values = event ? [r.p50, r.p90, r.p99, r.p999, r.max] : [r.p50, r.p90, r.max]
    const cells = [...values.map((value) => show(value, unit)), r.count.toLocaleString('en'), `${(r.gc * 100).toFixed(1)} %`]
    return `<tr class="${r.kind}"><th><i></i>${escape(r.name)}${r.note === undefined ? '' : `<small>${escape(r.note)}</small>`}<small class="proof">${escape(r.proof)}</small></th>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`
  })
  const missing = absent.map(
    ({ name, kind, cannot }) =>
      `<tr class="${kind} absent"><th><i></i>${escape(name)}</th><td colspan="${columns.length}">${escape(cannot)}</td></tr>`,
  )
  return `<section id="${escape(id)}"><h2>${escape(title)}</h2>
<p>${escape(about)}${event ? '' : ' Each sample is the mean of a batch.'}</p>
${barChart(result)}
${event ? cdfChart(result) : ''}
<div class="scroll"><table><thead><tr><th></th>${columns.map((column) => `<th>${column}</th>`).join('')}</tr></thead><tbody>${[...rows, ...missing].join('\n')}</tbody></table></div>
</section>`
}

function curve(result: CurveResult): string {
  const { id, title, about, lines } = result
  return `<section id="${escape(id)}"><h2>${escape(title)}</h2>
<p>${escape(about)}</p>
${curveChart(result)}
<ul class="growth">${lines.map(({ name, growth }, i) => `<li class="line${i}"><i></i>${escape(name)}: ${escape(growth)}</li>`).join('')}</ul>
</section>`
}

const style = `
:root{--back:#fff;--text:#1b1f24;--dim:#5a6470;--line:#d8dee4;--grid:#eaeef2;--ours:#0b6bcb;--limit:#6e7781;--platform:#bf8700;--peer:#bc4c00;--go:#1a7f72;--good:#1a7f37;--bad:#cf222e}
@media (prefers-color-scheme:dark){:root{--back:#0f1318;--text:#e6edf3;--dim:#9aa5b1;--line:#313a44;--grid:#1f262e;--ours:#58a6ff;--limit:#9aa5b1;--platform:#e3b341;--peer:#ff9351;--go:#3fc9b6;--good:#4ac26b;--bad:#ff7b72}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:60rem;padding:1rem;background:var(--back);color:var(--text);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;margin:.5rem 0}h2{font-size:1.15rem;margin:0 0 .3rem}
p{margin:.2rem 0 .8rem;color:var(--dim)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem .8rem;font-size:.85rem;margin:0}
dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}
section{margin:2rem 0;padding-top:1.2rem;border-top:1px solid var(--line)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.85rem;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .5rem;text-align:right;border-bottom:1px solid var(--grid);white-space:nowrap;vertical-align:top}
th:first-child,.absent td,#bars td:nth-child(2){text-align:left;white-space:normal;min-width:12.5rem;font-weight:400}
#bars th:first-child,#bars td:first-child{min-width:0;width:1.5rem;padding-right:0}.text{text-align:left}
small{display:block;color:var(--dim);font-size:.75rem}
i{display:inline-block;width:.7em;height:.7em;border-radius:50%;margin-right:.4em;background:currentColor}
.ours i{color:var(--ours)}.limit i{color:var(--limit)}.platform i{color:var(--platform)}.peer i{color:var(--peer)}.go i{color:var(--go)}
.absent{color:var(--dim)}
.met td:first-child{color:var(--good)}.missed td:first-child,.missed td:nth-child(3){color:var(--bad)}
.legend,.growth{list-style:none;padding:0;margin:.8rem 0;display:flex;flex-wrap:wrap;gap:.2rem 1rem;font-size:.85rem}
svg{display:block;width:100%;max-width:44rem;height:auto;margin:.5rem 0 1rem;font:11px system-ui,sans-serif}
svg text{fill:var(--dim)}svg .name{fill:var(--text)}
svg .grid{stroke:var(--grid)}
svg .ours{stroke:var(--ours);fill:var(--ours)}svg .limit{stroke:var(--limit);fill:var(--limit)}svg .platform{stroke:var(--platform);fill:var(--platform)}svg .peer{stroke:var(--peer);fill:var(--peer)}svg .go{stroke:var(--go);fill:var(--go)}
svg rect{stroke:none!important;opacity:.85}svg path{fill:none!important;stroke-width:2}svg circle{stroke:none}
svg .line0{stroke:var(--ours);fill:var(--ours)}svg .line1{stroke:var(--platform);fill:var(--platform)}svg .line2{stroke:var(--go);fill:var(--go)}svg .line3{stroke:var(--peer);fill:var(--peer)}
.line0 i{color:var(--ours)}.line1 i{color:var(--platform)}.line2 i{color:var(--go)}.line3 i{color:var(--peer)}
`
