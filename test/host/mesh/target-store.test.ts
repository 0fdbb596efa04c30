import { expect, test } from 'vitest';
import { forgetTarget, rememberedTargets, rememberTarget } from '../../../src/host/mesh/target-store.ts';
import { MemoryStore } from '../../fakes/memory-store.ts';

test('targets are remembered once, whatever their form, and forgotten', () => {
  const store = new MemoryStore();
  const [name, six] = [
    { host: 'seed.example', port: 6783 },
    { host: '2001:db8::1', port: 7000 },
  ] as const;
  for (const address of [name, six, { ...name, host: 'SEED.example' }]) rememberTarget(store, address);
  expect(rememberedTargets(store)).toEqual([six, name]);
  forgetTarget(store, name);
  forgetTarget(store, name);
  expect(rememberedTargets(new MemoryStore(store.snapshot()))).toEqual([six]);
});

test('what does not parse is passed over', () => {
  const store = new MemoryStore();
  store.put('mesh/target', 'a b:c', new Uint8Array(0));
  expect(rememberedTargets(store)).toEqual([]);
});
