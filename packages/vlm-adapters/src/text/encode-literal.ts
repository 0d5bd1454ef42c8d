/**
 * Encode text of which some parts are literal: a special token's spelling that touches such a part
 * is text. It runs the stages of `tokenizer.json` one by one (added tokens, normaliser,
 * pre-tokenizer, model, post-processor), as Hugging Face's tokenizers does, so that text without
 * special spellings gets the ids that it always gets.
 */

import type { AddedToken, Tokenizer as HubTokenizer } from '@huggingface/tokenizers';
import { quoteName } from '@mha2mla/checkpoint';

/** Offsets in UTF-16 units, start up to, not including, end. */
export type LiteralSpan = readonly [start: number, end: number];

interface Section {
  text: string;
  /** The added token that this section is; otherwise it is text. */
  added?: AddedToken;
  literal: boolean;
}

/**
 * Encode `text`, recognising no special token that touches a literal span.
 * @throws RangeError when the tokenizer can only see a literal part as a special token
 */
export function encodeLiteral(
  hub: HubTokenizer,
  text: string,
  options: { addSpecialTokens: boolean; literal: readonly LiteralSpan[] },
): number[] {
  const { addSpecialTokens, literal } = options;
  const added = [...hub.get_added_tokens_decoder().values()];
  const byContent = new Map(added.map((token) => [token.content, token]));
  const { early, late } = addedForms(hub, added);
  const tokens = splitAdded(text, early, literal).flatMap((section, index) =>
    section.added ? [section.added.content] : textTokens(section, index),
  );
  const all = hub.post_processor
    ? hub.post_processor._call(tokens, null, addSpecialTokens).tokens
    : tokens;
  return all.map(
    (token) => byContent.get(token)?.id ?? hub.token_to_id(token) ?? hub.model!.unk_token_id!,
  );

  function textTokens({ text, literal }: Section, index: number): string[] {
    if (text === '') return []; // all of it went to the token beside it
    const normal = hub.normalizer ? hub.normalizer.normalize(text) : text;
    return splitAdded(normal, late, []).flatMap((part) => {
      if (part.added) {
        if (literal && part.added.special) refuse(part.added.content);
        return [part.added.content];
      }
      return part.text === '' ? [] : modelTokens(part.text, index);
    });
  }

  function modelTokens(text: string, index: number): string[] {
    const words = hub.pre_tokenizer
      ? hub.pre_tokenizer.pre_tokenize(text, { section_index: index })
      : [text];
    const pieces = hub.model!._call(words);
    const special = pieces.find(
      (piece) => piece !== hub.model!.unk_token && byContent.get(piece)?.special,
    );
    if (special !== undefined) refuse(special);
    return pieces;
  }
}

type AddedForm = readonly [form: string, token: AddedToken];

/** Spellings of added tokens: of those found before the normaliser, and of those found after it. */
function addedForms(hub: HubTokenizer, added: readonly AddedToken[]) {
  const { normalizer } = hub;
  const early: AddedForm[] = [];
  const late: AddedForm[] = [];
  for (const token of added) {
    if (normalizer && token.normalized) late.push([normalizer.normalize(token.content), token]);
    else early.push([token.content, token]);
  }
  return { early, late };
}

/** Cut text at added tokens, leftmost and longest first; special ones not where it is literal. */
function splitAdded(
  text: string,
  forms: readonly AddedForm[],
  literal: readonly LiteralSpan[],
): Section[] {
  const byLength = forms.filter(([form]) => form !== '').sort((a, b) => b[0].length - a[0].length);
  const firsts = new Set(byLength.map(([form]) => form[0]!));
  const touches = literalWithin(text.length, literal);
  const sections: Section[] = [];
  const addText = (start: number, end: number) => {
    if (end > start) {
      sections.push({ text: text.slice(start, end), literal: touches(start, end) });
    }
  };
  let start = 0;
  for (let i = 0; i < text.length; ) {
    const found = firsts.has(text[i]!)
      ? byLength.find(
          ([form, token]) =>
            text.startsWith(form, i) && !(token.special && touches(i, i + form.length)),
        )
      : undefined;
    if (!found) {
      i++;
      continue;
    }
    addText(start, i);
    sections.push({ text: found[0], added: found[1], literal: false });
    i += found[0].length;
    start = i;
  }
  addText(start, text.length);
  return stripped(sections);
}

/** A test of whether a range holds literal text, at a cost that does not grow with the spans. */
function literalWithin(length: number, literal: readonly LiteralSpan[]) {
  if (literal.length === 0) return () => false;
  const before = new Uint32Array(length + 1);
  for (const [start, end] of literal) before.fill(1, start + 1, end + 1);
  for (let i = 1; i <= length; i++) before[i]! += before[i - 1]!;
  return (start: number, end: number) => before[end]! > before[start]!;
}

/** Tokens marked lstrip or rstrip take the white space beside them. */
function stripped(sections: Section[]): Section[] {
  sections.forEach(({ added }, i) => {
    const before = sections[i - 1];
    const after = sections[i + 1];
    if (added?.lstrip && before && !before.added) before.text = before.text.trimEnd();
    if (added?.rstrip && after && !after.added) after.text = after.text.trimStart();
  });
  return sections;
}

function refuse(token: string): never {
  throw new RangeError(
    `encode: text must not spell the special token ${quoteName(token)}, which this tokenizer cannot read as text. Write it in another way.`,
  );
}
