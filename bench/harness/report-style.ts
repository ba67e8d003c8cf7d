/** The style of the report. Colours of kinds are told apart by people who see red and green alike, too: each differs in lightness. */
export const style = `
:root{--back:#fff;--raised:#f6f8fa;--text:#1b1f24;--dim:#57606a;--line:#d8dee4;--grid:#e7ebef;--ours:#0969da;--limit:#6e7781;--platform:#9a6700;--peer:#bc4c00;--go:#1a7f72;--good:#1a7f37;--bad:#cf222e}
@media (prefers-color-scheme:dark){:root{--back:#0d1117;--raised:#161b22;--text:#e6edf3;--dim:#9aa5b1;--line:#30363d;--grid:#232a33;--ours:#58a6ff;--limit:#9aa5b1;--platform:#e3b341;--peer:#ff9351;--go:#3fc9b6;--good:#4ac26b;--bad:#ff7b72}}
*{box-sizing:border-box}
html{scroll-padding-top:5.6rem;scroll-behavior:smooth}
body{margin:0 auto;max-width:66rem;padding:0 1rem 4rem;background:var(--back);color:var(--text);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
h1{font-size:1.7rem;line-height:1.2;margin:1.6rem 0 .4rem}
h2{font-size:1.15rem;line-height:1.3;margin:0;padding:.55rem 0 .4rem;position:sticky;top:2.6rem;background:var(--back);z-index:1}
h2 code{font:.75rem ui-monospace,monospace;color:var(--dim);font-weight:400;margin-left:.5rem}
h3{font-size:.8rem;letter-spacing:.06em;text-transform:uppercase;color:var(--dim);margin:3rem 0 -1.2rem}
p{margin:.1rem 0 .9rem;color:var(--dim);max-width:46rem}
a{color:var(--ours);text-decoration:none}
nav{position:sticky;top:0;z-index:2;margin:0 -1rem;padding:0 1rem;height:2.6rem;display:flex;gap:1.2rem;align-items:center;overflow-x:auto;background:var(--back);border-bottom:1px solid var(--line);font-size:.9rem;white-space:nowrap}
nav b{font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem .9rem;font-size:.85rem;margin:0;padding:.8rem 1rem;background:var(--raised);border-radius:8px}
dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}
section{margin:2rem 0;padding-top:.3rem;border-top:1px solid var(--line)}
.charts{display:grid;grid-template-columns:1fr 1fr;gap:.6rem 2rem;align-items:start}
figure{margin:0;min-width:0}
figcaption{font-size:.8rem;color:var(--dim);margin:.2rem 0 .3rem}
.scroll{overflow-x:auto;margin-top:.8rem}
table{border-collapse:collapse;font-size:.85rem;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.35rem .55rem;text-align:right;border-bottom:1px solid var(--grid);white-space:nowrap;vertical-align:top}
thead th{color:var(--dim);font-weight:600;border-bottom-color:var(--line)}
th:first-child{text-align:left;white-space:normal;min-width:11rem;font-weight:400;position:sticky;left:0;background:var(--back)}
tr.ours th:first-child{font-weight:600}
.absent td{text-align:left;white-space:normal;min-width:12rem}
small{display:block;color:var(--dim);font-size:.75rem;font-weight:400}
i{display:inline-block;width:.7em;height:.7em;border-radius:50%;margin-right:.45em;background:currentColor}
.ours i{color:var(--ours)}.limit i{color:var(--limit)}.platform i{color:var(--platform)}.peer i{color:var(--peer)}.go i{color:var(--go)}
.absent,.absent th{color:var(--dim)}
ul.legend{list-style:none;padding:0;margin:.5rem 0;display:flex;flex-wrap:wrap;gap:.15rem 1.1rem;font-size:.8rem}
ol.bars{list-style:none;margin:0;padding:0}
ol.bars li{display:grid;grid-template-columns:4.6rem minmax(0,1fr) 9rem 10.5rem;gap:0 1rem;align-items:center;padding:.45rem 0;border-bottom:1px solid var(--grid);font-size:.9rem}
ol.bars .value{text-align:right;font-variant-numeric:tabular-nums}
ol.bars .value small{display:inline;margin-left:.4rem}
.verdict{font-size:.75rem;font-weight:600;text-align:center;border:1px solid;border-radius:1rem;padding:.05rem .5rem;color:var(--dim)}
.met .verdict{color:var(--good)}.missed .verdict{color:var(--bad)}
.gauge{position:relative;height:8px;border-radius:4px;background:var(--grid)}
.gauge::before{content:"";position:absolute;inset:0 auto 0 0;width:var(--to);border-radius:4px;background:var(--good)}
.missed .gauge::before{background:var(--bad)}
.gauge::after{content:"";position:absolute;left:50%;top:-4px;bottom:-4px;border-left:2px solid var(--text)}
figure svg,.headline svg{display:block;width:100%;height:auto;font:12px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
svg text{fill:var(--dim);font-size:12px}svg .name{fill:var(--text)}.headline svg text{font-size:13px}.headline .title{fill:var(--text);font-weight:600}.headline .own{fill:var(--ours);stroke:none;font-weight:600}
svg .grid{stroke:var(--grid)}svg .expected{stroke:var(--dim);stroke-dasharray:1 4;opacity:.8}
svg .ours{stroke:var(--ours);fill:var(--ours)}svg .limit{stroke:var(--limit);fill:var(--limit)}svg .platform{stroke:var(--platform);fill:var(--platform)}svg .peer{stroke:var(--peer);fill:var(--peer)}svg .go{stroke:var(--go);fill:var(--go)}
svg .tail{stroke-width:2.5;opacity:.55}svg .tick{stroke-width:2;opacity:.7}svg .bar{stroke-dasharray:4 3}
svg path{fill:none!important;stroke-width:2}svg circle{stroke:none}
.all{fill:none;stroke:var(--dim);stroke-width:1;opacity:.35}
svg .line0{stroke:var(--ours);fill:var(--ours)}svg .line1{stroke:var(--platform);fill:var(--platform)}svg .line2{stroke:var(--go);fill:var(--go)}svg .line3{stroke:var(--peer);fill:var(--peer)}
.line0 i{color:var(--ours)}.line1 i{color:var(--platform)}.line2 i{color:var(--go)}.line3 i{color:var(--peer)}
.knee,.failed{color:var(--bad)}
.headline{margin:1.4rem 0;padding:1rem;border:1px solid var(--line);border-radius:8px}.headline svg.narrow{display:none}
@media (max-width:52rem){.charts{grid-template-columns:1fr}.rare{display:none}ol.bars li{grid-template-columns:4.6rem 1fr;gap:.3rem .8rem}ol.bars li .what{grid-column:2}ol.bars li .gauge{grid-column:1/-1;grid-row:3}ol.bars li .value{grid-column:1/-1;grid-row:2;text-align:left}h2 code{display:none}.headline{padding:.5rem}.headline svg.wide{display:none}.headline svg.narrow{display:block}th,td{padding:.35rem .3rem}}
@media (max-width:30rem){table{font-size:.8rem}th:first-child{min-width:6.5rem;overflow-wrap:anywhere}th,td{padding:.35rem .2rem}.absent td{min-width:0;overflow-wrap:anywhere}td{white-space:normal}}
@media print{nav,h2{position:static}}
`
