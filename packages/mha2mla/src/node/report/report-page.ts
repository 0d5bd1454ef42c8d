/**
 * The report as one HTML page that needs nothing else: no network, no script, drawings in place.
 * Its policy allows its own style, by its hash, and nothing more. All text of files is escaped.
 */
import { createHash } from 'node:crypto';
import { duration } from '../../cli/quantities';
import { accuracyFigure, plotFigure } from './accuracy-figure';
import { bytesFigure } from './bytes-figure';
import { errorsFigure } from './errors-figure';
import { escapeHtml, escapeJson, label } from './escape-html';
import type { Figure, Table } from './figure';
import { kindsFigure } from './kinds-figure';
import { lossFigure } from './loss-figure';
import { bytesText, numberText, percentText, sizeText } from './number-text';
import { PAGE_STYLE } from './page-style';
import { pairsFigure, scoresFigure } from './pairs-figure';
import { type Result, resultsOf, resultsTable } from './results';
import type { ConversionData, RunData } from './run-data';
import { spectraFigure } from './spectra-figure';
import { summaryOf } from './summary';

/** @param runs of {@link loadRuns}, at least one. */
export async function reportPage(runs: readonly RunData[]): Promise<string> {
  const drawn = withoutRepeats(runs);
  const results = resultsOf(drawn);
  const overview = present([
    await accuracyFigure(drawn, results, 'accuracy'),
    await kindsFigure(results, 'kinds'),
    await bytesFigure(drawn, 'bytes'),
  ]);
  for (const [index, plot] of drawn.flatMap(({ plots }) => plots).entries()) {
    overview.push(await plotFigure(plot, `plot${index}`));
  }
  const sections: Section[] = [];
  for (const [index, run] of drawn.entries()) {
    const id = `run${index}`;
    sections.push({ id, name: label(run.name), html: await runSection(run, id) });
  }
  const families = [...new Set(drawn.flatMap(({ conversion }) => conversion?.family ?? []))];
  const title = label(families.length > 0 ? families.join(', ') : drawn[0]!.name);
  const summary = summaryOf(drawn, results).map((line) => `<li>${escapeHtml(line)}</li>`);
  const body = [
    `<header><h1>Conversion to latent attention: ${escapeHtml(title)}</h1>`,
    '<p>What was kept, what it cost, and what the cache takes.</p>',
    summary.length > 0 ? `<ul class="summary">${summary.join('')}</ul>` : '',
    contents(sections),
    '</header><main>',
    resultsHtml(results),
    overview.length > 0
      ? `<h2>Overview</h2><div class="figures">${overview.map(figureHtml).join('')}</div>`
      : '',
    ...sections.map(({ html }) => html),
    '</main><footer>Made by mha2mla report. The figures are in the page as JSON, too, under the id <code>data</code>.</footer>',
    `<script type="application/json" id="data">${escapeJson(runs)}</script>`,
  ];
  return pageHtml(`${title}: mha2mla report`, body.join('\n'));
}

/** A healed model has the report of its conversion: where that is drawn already, it is once enough. */
function withoutRepeats(runs: readonly RunData[]): RunData[] {
  const texts = runs.map(({ conversion }) => conversion && JSON.stringify(conversion));
  return runs.map((run, index) => {
    const { conversion, ...rest } = run;
    const first = runs.findIndex(
      ({ losses }, i) => texts[i] === texts[index] && (!losses || i < index),
    );
    if (!conversion || !run.losses || first < 0 || first === index) return run;
    return { ...rest, convertedAs: runs[first]!.name };
  });
}

function resultsHtml(results: readonly Result[]): string {
  if (results.length === 0) return '';
  const { questions } = results[0]!;
  const note = `Greedy answers that match exactly, of ${questions} questions; nll is the negative log-likelihood of a token of the right answers, lower is better. Chance: the same questions drawn again, 19 times in 20.`;
  return `<h2>What was kept</h2><div class="scroll results" tabindex="0">${tableHtml(resultsTable(results))}</div><p>${escapeHtml(note)}</p>`;
}

function pageHtml(title: string, body: string): string {
  const hash = createHash('sha256').update(PAGE_STYLE).digest('base64');
  const policy = `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${escapeHtml(title)}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
${body}
</body>
</html>
`;
}

interface Section {
  id: string;
  name: string;
  /** Empty where a run has nothing of its own, such as plots that are in the overview. */
  html: string;
}

function contents(sections: readonly Section[]): string {
  const links = sections
    .filter(({ html }) => html !== '')
    .map(({ id, name }) => `<li><a href="#${id}">${escapeHtml(name)}</a></li>`);
  if (links.length < 2) return '';
  return `<nav aria-label="Runs"><ul>${links.join('')}</ul></nav>`;
}

/** What belongs to one run: its figures in words, drawings of its layers, its options. */
async function runSection(run: RunData, id: string): Promise<string> {
  const { conversion, losses, heldOut } = run;
  const figures = present([
    conversion && (await spectraFigure(conversion, `${id}-spectra`)),
    conversion && (await errorsFigure(conversion, `${id}-errors`)),
    await lossFigure(losses, `${id}-loss`, heldOut),
    conversion && (await pairsFigure(conversion, `${id}-pairs`)),
    conversion && (await scoresFigure(conversion, `${id}-scores`)),
  ]);
  const tiles = tilesOf(run);
  if (figures.length === 0 && tiles.length === 0) return '';
  return [
    `<section><h2 id="${id}">${escapeHtml(label(run.name))}</h2>`,
    tilesHtml(tiles),
    `<div class="figures">${figures.map(figureHtml).join('')}</div>`,
    conversion ? detailsHtml('All options of the conversion', optionsTable(conversion)) : '',
    '</section>',
  ].join('\n');
}

function tilesOf({ conversion, convertedAs, losses, cost }: RunData): [string, string][] {
  const tiles: [string, string][] = [];
  if (conversion) {
    const { original, converted } = conversion.cacheBytesPerToken;
    tiles.push(['family', label(conversion.family)]);
    tiles.push(['layers', `${conversion.layers.length}`]);
    const share = original > 0 ? ` (${percentText(converted / original)})` : '';
    tiles.push(['cache bytes a token', `${bytesText(converted)}${share}`]);
  }
  if (convertedAs !== undefined) tiles.push(['conversion that was healed', label(convertedAs, 24)]);
  if (losses && losses.length > 0) {
    tiles.push(['loss', `${numberText(losses[0]!)} → ${numberText(losses.at(-1)!)}`]);
  }
  if (cost) {
    tiles.push([cost.resumed ? 'time since it was resumed' : 'time', duration(cost.seconds)]);
    tiles.push(['memory at most', sizeText(cost.peakMemoryBytes)]);
    tiles.push(['disk', sizeText(cost.sizeBytes)]);
  }
  return tiles;
}

function optionsTable({ options }: ConversionData): Table {
  return { head: ['option', 'value'], rows: options.filter(([, value]) => value !== '') };
}

function tilesHtml(tiles: readonly [string, string][]): string {
  if (tiles.length === 0) return '';
  const items = tiles.map(
    ([name, value]) => `<div><dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd></div>`,
  );
  return `<dl class="tiles">${items.join('')}</dl>`;
}

function figureHtml({ title, caption, drawings, ramp, table }: Figure): string {
  const wide = drawings.length > 1 ? ' class="wide"' : '';
  const steps = ramp
    ? `<div class="ramp" aria-hidden="true">${escapeHtml(ramp.first)}<i></i>${escapeHtml(ramp.last)}</div>`
    : '';
  return [
    `<figure${wide}><figcaption><h3>${escapeHtml(title)}</h3><p>${escapeHtml(caption)}</p></figcaption>`,
    `<div class="drawings">${drawings.map((svg) => `<div class="scroll">${svg}</div>`).join('')}</div>`,
    `${steps}${detailsHtml('Figures as a table', table)}</figure>`,
  ].join('');
}

/** Cells beyond that take lines of their own. */
const LONG_CELL = 48;

function detailsHtml(summary: string, table: Table): string {
  return `<details><summary>${escapeHtml(summary)}</summary><div class="scroll" tabindex="0">${tableHtml(table)}</div></details>`;
}

function tableHtml({ head, rows, marks = [] }: Table): string {
  const cell = (text: string) =>
    `<td${text.length > LONG_CELL ? ' class="long"' : ''}>${escapeHtml(text)}</td>`;
  const titles = head.map((name) => `<th scope="col">${escapeHtml(name)}</th>`).join('');
  const mark = (row: number) => (marks[row] ? ` class="${marks[row]}"` : '');
  const lines = rows.map((row, i) => `<tr${mark(i)}>${row.map(cell).join('')}</tr>`).join('');
  return `<table><thead><tr>${titles}</tr></thead><tbody>${lines}</tbody></table>`;
}

function present<T>(values: readonly (T | undefined)[]): T[] {
  return values.filter((value) => value !== undefined);
}
