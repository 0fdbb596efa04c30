// Our native datapath: TAP with large frames, UDP segmentation offload, AEAD with vector AES where the machine has it.

import { fabric } from './fabric.ts';

export const fabricEngine = fabric({ datapath: 'engine', title: 'fabric, engine datapath, encrypted' });
