/**
 * The report as one HTML page that needs nothing else: no network, no script, drawings in place.
 * Its policy allows its own style, by its hash, and nothing more. All text of files is escaped.
 */
import { createHash } from 'node:crypto';
import { accuracyFigure, plotFigure } from './accuracy-figure';
import { bytesFigure } from './bytes-figure';
import { errorsFigure } from './errors-figure';
import { escapeHtml, escapeJson, label } from './escape-html';
import type { Figure, Table } from './figure';
import { lossFigure } from './loss-figure';
import { bytesText, numberText, percentText } from './number-text';
import { PAGE_STYLE } from './page-style';
import { pairsFigure, scoresFigure } from './pairs-figure';
import type { ConversionData, RunData } from './run-data';
import { spectraFigure } from './spectra-figure';

/** @param runs of {@link loadRuns}, at least one. */
export async function reportPage(runs: readonly RunData[]): Promise<string> {
  const overview = present([
    await bytesFigure(runs, 'bytes'),
    await accuracyFigure(runs, 'accuracy'),
  ]);
  for (const [index, plot] of runs.flatMap(({ plots }) => plots).entries()) {
    overview.push(await plotFigure(plot, `plot${index}`));
  }
  const sections: Section[] = [];
  for (const [index, run] of runs.entries()) {
    const id = `run${index}`;
    sections.push({ id, name: label(run.name), html: await runSection(run, id) });
  }
  const title = runs.length === 1 ? label(runs[0]!.name) : `${runs.length} runs`;
  const body = [
    `<header><h1>Conversion to latent attention: ${escapeHtml(title)}</h1>`,
    '<p>What was kept, what it cost, and what the cache takes.</p>',
    runs.length > 1 ? contents(sections) : '',
    '</header><main>',
    overview.length > 0
      ? `<h2>Overview</h2><div class="figures">${overview.map(figureHtml).join('')}</div>`
      : '',
    ...sections.map(({ html }) => html),
    '</main><footer>Made by mha2mla report. The figures are in the page as JSON, too, under the id <code>data</code>.</footer>',
    `<script type="application/json" id="data">${escapeJson(runs)}</script>`,
  ];
  return pageHtml(`${title}: mha2mla report`, body.join('\n'));
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

function tilesOf({ conversion, evaluations, losses }: RunData): [string, string][] {
  const tiles: [string, string][] = [];
  if (conversion) {
    const { original, converted } = conversion.cacheBytesPerToken;
    tiles.push(['family', label(conversion.family)]);
    tiles.push(['layers', `${conversion.layers.length}`]);
    const share = original > 0 ? ` (${percentText(converted / original)})` : '';
    tiles.push(['cache bytes a token', `${bytesText(converted)}${share}`]);
    for (const modality of ['vision', 'text'] as const) {
      const errors = conversion.layers.flatMap((layer) => layer[modality]?.relativeError ?? []);
      if (errors.length === 0) continue;
      const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
      tiles.push([`mean error, ${modality}`, numberText(mean)]);
    }
  }
  for (const { name, accuracy } of evaluations.slice(0, 4)) {
    tiles.push([
      `accuracy${evaluations.length > 1 ? `, ${label(name, 24)}` : ''}`,
      percentText(accuracy),
    ]);
  }
  if (losses && losses.length > 0) {
    tiles.push(['loss', `${numberText(losses[0]!)} → ${numberText(losses.at(-1)!)}`]);
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

function detailsHtml(summary: string, { head, rows }: Table): string {
  const cell = (text: string) =>
    `<td${text.length > LONG_CELL ? ' class="long"' : ''}>${escapeHtml(text)}</td>`;
  const titles = head.map((name) => `<th scope="col">${escapeHtml(name)}</th>`).join('');
  const lines = rows.map((row) => `<tr>${row.map(cell).join('')}</tr>`).join('');
  return `<details><summary>${escapeHtml(summary)}</summary><div class="scroll" tabindex="0"><table><thead><tr>${titles}</tr></thead><tbody>${lines}</tbody></table></div></details>`;
}

function present<T>(values: readonly (T | undefined)[]): T[] {
  return values.filter((value) => value !== undefined);
}
