import { SHIPPED } from '../model/catalog';
import { type Sides, shippedName, sides } from '../model/choice';

const SIDES: readonly [Sides, string][] = [
  ['both', 'Side by side'],
  ['converted', 'Converted'],
  ['original', 'Original'],
];

export function ShippedModels() {
  return (
    <>
      <fieldset class="models">
        <legend>Model</legend>
        {SHIPPED.map(({ name, title, about }) => (
          <label key={name} class="model">
            <input
              type="radio"
              name="model"
              checked={shippedName.value === name}
              onChange={() => {
                shippedName.value = name;
              }}
            />
            <span>
              <strong>{title}</strong>
              <small>{about}</small>
            </span>
          </label>
        ))}
      </fieldset>
      <fieldset class="segments">
        <legend>Run</legend>
        {SIDES.map(([value, title]) => (
          <label key={value}>
            <input
              type="radio"
              name="sides"
              checked={sides.value === value}
              onChange={() => {
                sides.value = value;
              }}
            />
            <span>{title}</span>
          </label>
        ))}
      </fieldset>
      <p class="hint">
        Real architectures trained small for trying out: 2 million weights that know 96 objects on a
        grid of three by three, and seven kinds of questions.
      </p>
    </>
  );
}
