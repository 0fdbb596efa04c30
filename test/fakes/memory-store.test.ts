import { describeStore } from '../base/store-contract.ts';
import { MemoryStore } from './memory-store.ts';

describeStore('MemoryStore', () => {
  const store = new MemoryStore();
  return { store, powerCut: () => new MemoryStore(store.snapshot()), close: () => {} };
});
