/** When a loss runs away. A loss of one update says little: pictures differ. */

/** Updates of the running mean. */
const WINDOW = 10;
/** Times the first loss: far above what noise and the warmup do to a mean of ten. */
const FACTOR = 3;
/** Pictures that the first loss is a mean over, where an update has fewer. */
const FIRST_PICTURES = 8;

/** Updates on end with too high a mean, after which a run is given up. */
export const RUNAWAY_UPDATES = 25;

/** Training that does not come back; `losses` are of each update. */
export class HealingDiverged extends RangeError {
  override readonly name = 'HealingDiverged';

  constructor(
    message: string,
    readonly losses: readonly number[],
  ) {
    super(message);
  }
}

/**
 * @returns how many of the last updates have, one after the other, a running mean of more than three
 *   times the first loss; counted up to `RUNAWAY_UPDATES`.
 */
export function updatesAbove(
  losses: readonly number[],
  { batchSize }: { batchSize: number },
): number {
  const first = meanOf(losses.slice(0, Math.ceil(FIRST_PICTURES / batchSize)));
  for (let above = 0; above < RUNAWAY_UPDATES; above++) {
    const end = losses.length - above;
    if (end < WINDOW || !(meanOf(losses.slice(end - WINDOW, end)) > FACTOR * first)) return above;
  }
  return RUNAWAY_UPDATES;
}

/** @param where such as `healModel`. @throws HealingDiverged */
export function assertNotRunaway(
  where: string,
  losses: readonly number[],
  plan: { batchSize: number },
): void {
  if (updatesAbove(losses, plan) < RUNAWAY_UPDATES) return;
  const last = meanOf(losses.slice(-WINDOW));
  throw new HealingDiverged(
    `${where}: the loss must not run away, got a mean of ${last.toPrecision(3)} over the last ${WINDOW} of ${losses.length} updates after ${losses[0]!.toPrecision(3)} at first. Start anew with a lower learning rate.`,
    losses,
  );
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
