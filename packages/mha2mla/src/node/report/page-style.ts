/** The style of the report: light and dark, narrow and wide, screen and paper. No fonts or images. */
import { colorVariables } from './palette';

const ramp = Array.from({ length: 8 }, (_, i) => `var(--ramp${i})`).join(',');

export const PAGE_STYLE = /* css */ `
:root{color-scheme:light dark;${colorVariables('light')}}
@media (prefers-color-scheme:dark){:root{${colorVariables('dark')}}}
@media print{:root{color-scheme:light;${colorVariables('light')}}}
*{box-sizing:border-box}
body{margin:0;overflow-wrap:anywhere;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main,header{max-width:76rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:2rem}
h1{font-size:1.7rem;margin:0 0 .25rem;line-height:1.2}
h2{font-size:1.3rem;margin:2.5rem 0 .75rem;overflow-wrap:anywhere}
h3{font-size:1.05rem;margin:0 0 .15rem}
p{margin:.25rem 0;color:var(--muted)}
.summary{padding:0 0 0 1.1rem;margin:.75rem 0;max-width:60rem}
.summary li{margin:.3rem 0}
.results{background:var(--card);border:1px solid var(--grid);border-radius:10px;padding:.4rem .6rem}
.results th,.results td{white-space:normal;overflow-wrap:break-word;vertical-align:top}
.results td:nth-child(2){white-space:nowrap}
.results tr:last-child td{border-bottom:0}
.good td:nth-child(3)::before{content:"✓ ";color:var(--after)}
.bad td:nth-child(3){color:var(--alarm)}
.bad td:nth-child(3)::before{content:"▼ "}
nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1rem;padding:0;list-style:none;margin:.75rem 0 0}
a{color:var(--series0)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(10rem,1fr));gap:.75rem;margin:.75rem 0;padding:0}
.tiles div,figure{background:var(--card);border:1px solid var(--grid);border-radius:10px}
.tiles div{padding:.7rem .9rem}
.tiles dt{color:var(--muted);font-size:.82rem}
.tiles dd{margin:0;font-size:1.1rem;font-weight:600;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,33rem),1fr));gap:1rem;align-items:start}
figure{margin:0;padding:1rem;min-width:0}
figure.wide{grid-column:1/-1}
figcaption{margin-bottom:.5rem}
.drawings{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:.75rem}
.scroll{overflow-x:auto}
svg{display:block;width:100%;height:auto}
@media (max-width:40rem){main,header,footer{padding-left:.75rem;padding-right:.75rem}figure{padding:.75rem}.results{font-size:.8rem}.results th,.results td{padding:.2rem .3rem}}
.ramp{display:flex;align-items:center;gap:.5rem;color:var(--muted);font-size:.82rem;margin-top:.4rem}
.ramp i{flex:0 1 10rem;height:.6rem;border-radius:.3rem;background:linear-gradient(90deg,${ramp})}
details{margin-top:.6rem;font-size:.85rem}
summary{cursor:pointer;color:var(--muted)}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin-top:.4rem}
th,td{padding:.2rem .6rem;text-align:left;border-bottom:1px solid var(--grid);white-space:nowrap}
td.long{white-space:normal;overflow-wrap:anywhere;min-width:12rem}
th{color:var(--muted);font-weight:600}
footer{max-width:76rem;margin:2rem auto;padding:0 1.25rem 2rem;color:var(--muted);font-size:.82rem}
@media print{body{background:#fff;font-size:11px}figure,.tiles div{break-inside:avoid;border-color:#ccc}
.figures{display:block;columns:2}.drawings{grid-template-columns:repeat(auto-fit,minmax(15rem,1fr))}figure.wide{column-span:all}figure{margin-bottom:.75rem}nav,details{display:none}.scroll{overflow:visible}}
`.trim();
