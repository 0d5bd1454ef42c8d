import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { AdaptedProjection } from './adapted-projection';
import { affine } from './testing/affine';
import { valueAndGrads } from './value-and-grads';

const IN = 12;
const OUT = 10;

const read = async (tensor: tf.Tensor) => {
  const values = Float32Array.from(await tensor.data());
  tensor.dispose();
  return values;
};

function withTwo() {
  const base = affine(IN, OUT);
  const adapted = new AdaptedProjection(base);
  adapted.addAdapter('one', { r: 2, initLoraWeights: false, seed: 1 });
  adapted.addAdapter('two', { r: 3, initLoraWeights: false, seed: 2 });
  adapted.addAdapter('dora', { r: 3, initLoraWeights: false, seed: 2, useDora: true });
  const x = tf.tensor2d(gaussian(4 * IN, 3), [4, IN]);
  const dispose = () => {
    adapted.dispose();
    base.dispose();
    x.dispose();
  };
  return { base, adapted, x, outputs: () => read(adapted.apply(x)), dispose };
}

describeBackends('AdaptedProjection', () => {
  it('acts as the base until an adapter is set, and again when none is', async () => {
    const { base, adapted, x, outputs, dispose } = withTwo();
    const expected = await read(base.apply(x));
    expect(await outputs()).toEqual(expected);
    adapted.setAdapter('one');
    expect(await outputs()).not.toEqual(expected);
    expect(await outputs()).toEqual(await read(adapted.adapters.get('one')!.apply(x)));
    adapted.setAdapter(undefined);
    expect(await outputs()).toEqual(expected);
    dispose();
  });

  it('several adapters add up their changes', async () => {
    const { adapted, outputs, dispose } = withTwo();
    const [none, one, two, both] = await Promise.all(
      [undefined, 'one', 'two', ['one', 'two']].map(async (names) => {
        adapted.setAdapter(names);
        return outputs();
      }),
    );
    const sum = none!.map((value, i) => one![i]! + two![i]! - value);
    expectClose(both!, sum, { abs: 1e-5 }); // outputs of size 10
    adapted.deleteAdapter('two');
    expect(adapted.activeAdapters).toEqual(['one']);
    expect(await outputs()).toEqual(one);
    dispose();
  });

  it.each([[['one']], [['two', 'one']], [['dora']]])(
    'merged gives the same outputs, and unmerged the very bits: %o',
    async (names) => {
      const { adapted, x, outputs, dispose } = withTwo();
      const plain = await outputs();
      adapted.setAdapter(names);
      const before = await outputs();
      adapted.merge();
      adapted.merge();
      expect(adapted.merged).toBe(true);
      expectClose(await outputs(), before, { abs: 1e-5 }); // outputs of size 10
      const product = tf.tidy(() => tf.add(tf.matMul(x, adapted.weight()), adapted.bias!));
      expect(await read(product)).toEqual(await outputs());
      adapted.unmerge();
      expect(await outputs()).toEqual(before);
      adapted.merge();
      adapted.setAdapter([]);
      expect(adapted.merged).toBe(false);
      expect(await outputs()).toEqual(plain);
      dispose();
    },
  );

  it('several that act are all trained, over many rows as their weight is', async () => {
    const { adapted, dispose } = withTwo();
    adapted.setAdapter(['one', 'two']);
    const many = tf.tensor2d(gaussian(40 * IN, 4), [40, IN]);
    const parameters = ['one', 'two'].flatMap((name) =>
      adapted.adapters
        .get(name)!
        .parameters.map((own) => ({ ...own, name: `${name}.${own.name}` })),
    );
    const [apart, whole] = [
      () => adapted.apply(many),
      () => tf.add(tf.matMul(many, adapted.weight()), adapted.bias!),
    ].map((f) => valueAndGrads(() => tf.mean(tf.square(f())) as tf.Scalar, parameters));
    for (const { name } of parameters) {
      // Gradients of size 10: two orders of the same sums.
      expectClose(await apart!.grads[name]!.data(), await whole!.grads[name]!.data(), {
        abs: 1e-4,
      });
    }
    tf.dispose([many, apart, whole] as unknown as tf.TensorContainer);
    dispose();
  });

  it('what is active is trained, what is not is not', async () => {
    const { adapted, x, dispose } = withTwo();
    adapted.setAdapter('one');
    const loss = () => tf.sum(tf.square(adapted.apply(x))) as tf.Scalar;
    const { value, grads } = valueAndGrads(loss, adapted.adapters.get('one')!.parameters);
    expect(Object.keys(grads)).toEqual(['lora_A.weight', 'lora_B.weight']);
    expect(() => valueAndGrads(loss, adapted.adapters.get('two')!.parameters)).toThrow(
      'Cannot find a connection',
    );
    tf.dispose([value, grads] as tf.TensorContainer);
    dispose();
  });

  it('switches the dropout of its adapters', async () => {
    const { adapted, outputs, dispose } = withTwo();
    adapted.addAdapter('drop', { r: 3, initLoraWeights: false, loraDropout: 0.5 });
    adapted.setAdapter('drop');
    const rest = await outputs();
    adapted.train(1);
    expect(await outputs()).not.toEqual(rest);
    adapted.eval();
    expect(await outputs()).toEqual(rest);
    dispose();
  });

  it('refuses names that are unknown or taken, and DoRA beside another; nothing changes', async () => {
    const { adapted, x, outputs, dispose } = withTwo();
    adapted.setAdapter('one');
    const before = await outputs();
    expect(() => adapted.setAdapter('three')).toThrow(
      'expected one of the adapters one, two, dora, got three',
    );
    expect(() => adapted.setAdapter(['two', 'two'])).toThrow('must differ, got two, two');
    expect(() => adapted.setAdapter(['two', 'dora'])).toThrow('DoRA must act alone, got two, dora');
    expect(() => adapted.addAdapter('two', { r: 1 })).toThrow('must differ, got two twice');
    expect(() => adapted.deleteAdapter('three')).toThrow('got three');
    expect(await outputs()).toEqual(before);
    adapted.merge();
    expect(() => adapted.apply(tf.tensor1d([1]))).toThrow('x must be [..., 12], got [1]');
    expect(adapted.adapters.size).toBe(3);
    x.dispose();
    dispose();
  });

  it('leaves nothing behind', () =>
    expectNoLeak(() => {
      const { adapted, x, dispose } = withTwo();
      adapted.setAdapter(['one', 'two']);
      tf.dispose([adapted.apply(x), adapted.weight()]);
      adapted.merge();
      tf.dispose([adapted.apply(x), adapted.weight()]);
      adapted.deleteAdapter('one');
      dispose();
    }));
});
