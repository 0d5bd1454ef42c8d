/** What the report tells of one run alone: what it was and took, drawings of its layers, its options. */
import { duration, sizeText } from '../../cli/quantities';
import { errorsFigure } from './errors-figure';
import { escapeHtml, label } from './escape-html';
import type { Table } from './figure';
import { detailsHtml, figureHtml } from './figure-html';
import { lossFigure } from './loss-figure';
import { bytesText, numberText, percentText } from './number-text';
import { pairsFigure, scoresFigure } from './pairs-figure';
import type { ConversionData, RunData } from './run-data';
import { spectraFigure } from './spectra-figure';

/** @returns HTML, empty where a run has nothing of its own. */
export async function runSection(run: RunData, id: string): Promise<string> {
  const { conversion, losses, heldOut } = run;
  const figures = [
    conversion && (await spectraFigure(conversion, `${id}-spectra`)),
    conversion && (await errorsFigure(conversion, `${id}-errors`)),
    await lossFigure(losses, `${id}-loss`, heldOut),
    conversion && (await pairsFigure(conversion, `${id}-pairs`)),
    conversion && (await scoresFigure(conversion, `${id}-scores`)),
  ].filter((figure) => figure !== undefined);
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
