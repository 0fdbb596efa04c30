import { describeStore } from '../base/store-contract.ts';
import { MemoryStore } from './memory-store.ts';

describeStore('MemoryStore', () => {
  const store = new MemoryStore();
  return {
    store,
    powerCut: () => {
      store.cutPower();
      return new MemoryStore(store.snapshot());
    },
    close: () => {},
  };
});
