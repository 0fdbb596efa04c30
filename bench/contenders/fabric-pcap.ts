// Our reference datapath in TypeScript: libpcap, node:crypto and one UDP socket.

import { fabric } from './fabric.ts';

export const fabricPcap = fabric({ datapath: 'pcap', title: 'fabric, pcap datapath, encrypted' });
