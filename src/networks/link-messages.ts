import { SystemCallError, errno } from '../linux/errno.ts'
import { FFIType } from 'bun:ffi'
import { openLibc, ptr } from '../linux/libc.ts'
import { MessageBuilder, readAttributes, requestFlags, type RouteSocket } from '../linux/netlink.ts'
import { formatAddress, parseAddress, width } from './addresses.ts'
import type { Link } from './host-links.ts'
import type { LinkChange } from './link-change.ts'

/** Devices, addresses and routes as messages of rtnetlink(7); numbers from linux/rtnetlink.h, if_link.h and if_addr.h. */

const libc = openLibc({ if_nametoindex: { args: [FFIType.ptr], returns: FFIType.u32 } })

const RTM = {
  newLink: 16,
  deleteLink: 17,
  getLink: 18,
  newAddress: 20,
  deleteAddress: 21,
  getAddress: 22,
  newRoute: 24,
}
const IFLA = { address: 1, name: 3, mtu: 4, master: 10, linkInfo: 18, alias: 20, namespace: 28 }
const INFO = { kind: 1, data: 2, portKind: 4, portData: 5 }
const VETH_INFO_PEER = 1
const IFLA_BR_FORWARD_DELAY = 1
const IFLA_BRPORT_MODE = 4
const IFA = { address: 1, local: 2 }
const IFA_F_NODAD = 0x02
const RTA = { oif: 4, gateway: 5 }
const AF_INET = 2
const AF_INET6 = 10
const IFF_UP = 1
const RT_TABLE_MAIN = 254
const RTPROT_BOOT = 3
const RTN_UNICAST = 1
const RT_SCOPE_LINK = 253

/** Makes a change in the namespace of the socket. Throws SystemCallError with the kernel's reason. */
export function sendChange(socket: RouteSocket, change: LinkChange): void {
  const { create, exclusive, replace } = requestFlags
  switch (change.kind) {
    case 'add-bridge': {
      const body = link(change.name)
        .attribute(IFLA.address, macBytes(change.mac))
        .nested(IFLA.linkInfo, (info) =>
          info.text(INFO.kind, 'bridge').nested(INFO.data, (data) => data.number(IFLA_BR_FORWARD_DELAY, 0)),
        )
      return socket.change(RTM.newLink, create | exclusive, body.bytes, change.name)
    }
    case 'add-veth': {
      const { name, mtu, peer } = change
      const body = withMtu(link(name), mtu).nested(IFLA.linkInfo, (info) =>
        info.text(INFO.kind, 'veth').nested(INFO.data, (data) => {
          const inside = withMtu(link(peer.name), mtu)
            .attribute(IFLA.address, macBytes(peer.mac))
            .number(IFLA.namespace, peer.namespace)
          data.attribute(VETH_INFO_PEER, inside.bytes)
        }),
      )
      return socket.change(RTM.newLink, create | exclusive, body.bytes, name)
    }
    case 'set':
      return setLink(socket, change)
    case 'delete':
      return socket.change(RTM.deleteLink, 0, link(change.device).bytes, change.device)
    case 'add-address':
    case 'delete-address': {
      const type = change.kind === 'add-address' ? RTM.newAddress : RTM.deleteAddress
      const flags = change.kind === 'add-address' ? create | exclusive : 0
      return socket.change(
        type,
        flags,
        addressBody(change.device, change.address),
        `${change.device} ${change.address}`,
      )
    }
    case 'set-default-route': {
      const gateway = addressBytes(change.gateway)
      const family = gateway.length === 4 ? AF_INET : AF_INET6
      const body = new MessageBuilder()
        .u8(family)
        .u8(0)
        .u8(0)
        .u8(0)
        .u8(RT_TABLE_MAIN)
        .u8(RTPROT_BOOT)
        .u8(0)
        .u8(RTN_UNICAST)
      body.u32(0).attribute(RTA.gateway, gateway).number(RTA.oif, indexOf(change.device))
      return socket.change(RTM.newRoute, create | replace, body.bytes, `${change.device} default route`)
    }
    default:
      change satisfies never
  }
}

function setLink(
  socket: RouteSocket,
  { device, up, alias, mtu, master, hairpin }: Extract<LinkChange, { kind: 'set' }>,
): void {
  const body = withMtu(link(device, up === true ? IFF_UP : 0), mtu)
  if (alias !== undefined) body.attribute(IFLA.alias, new TextEncoder().encode(alias))
  if (master !== undefined) body.number(IFLA.master, indexOf(master))
  socket.change(RTM.newLink, 0, body.bytes, device)
  if (hairpin !== true) return
  // It is a port only now.
  const port = link(device).nested(IFLA.linkInfo, (info) =>
    info
      .text(INFO.portKind, 'bridge')
      .nested(INFO.portData, (data) => data.attribute(IFLA_BRPORT_MODE, Uint8Array.of(1))),
  )
  socket.change(RTM.newLink, 0, port.bytes, device)
}

/** struct ifinfomsg of a device of this name, and the name. */
function link(name: string, up = 0): MessageBuilder {
  return new MessageBuilder().u8(0).u8(0).u16(0).u32(0).u32(up).u32(up).text(IFLA.name, name)
}

function withMtu(body: MessageBuilder, mtu: number | undefined): MessageBuilder {
  return mtu === undefined ? body : body.number(IFLA.mtu, mtu)
}

/** struct ifaddrmsg. */
function addressBody(device: string, text: string): Uint8Array {
  const [address = '', length = ''] = text.split('/')
  const bytes = addressBytes(address)
  const isIpv6 = bytes.length === 16
  const body = new MessageBuilder().u8(isIpv6 ? AF_INET6 : AF_INET).u8(Number(length))
  body
    .u8(isIpv6 ? IFA_F_NODAD : 0)
    .u8(0)
    .u32(indexOf(device))
  return body.attribute(IFA.local, bytes).attribute(IFA.address, bytes).bytes
}

function indexOf(device: string): number {
  const index = libc.if_nametoindex(ptr(new TextEncoder().encode(`${device}\0`)))
  if (index === 0) throw new SystemCallError('netlink', errno.ENODEV, device)
  return index
}

function macBytes(mac: string): Uint8Array {
  return Uint8Array.fromHex(mac.replaceAll(':', ''))
}

function addressBytes(text: string): Uint8Array {
  const address = parseAddress(text)
  if (address === undefined) throw new Error(`${text} is no address`)
  return Uint8Array.fromHex(address.value.toString(16).padStart(width(address) / 4, '0'))
}

/** The devices of the socket's namespace, with addresses that are good beyond their link. Throws SystemCallError. */
export function readLinks(socket: RouteSocket): Link[] {
  const addresses = new Map<number, string[]>()
  for (const body of socket.list(RTM.getAddress, new MessageBuilder().u32(0).u32(0).bytes)) {
    const view = new DataView(body.buffer, body.byteOffset)
    const attributes = readAttributes(body.subarray(8))
    const bytes = attributes.get(IFA.local) ?? attributes.get(IFA.address)
    if (bytes === undefined || view.getUint8(3) === RT_SCOPE_LINK) continue
    const text = `${addressText(bytes)}/${view.getUint8(1)}`
    addresses.getOrInsertComputed(view.getUint32(4, true), () => []).push(text)
  }
  return socket.list(RTM.getLink, new MessageBuilder().u32(0).u32(0).u32(0).u32(0).bytes).map((body) => {
    const attributes = readAttributes(body.subarray(16))
    const info = readAttributes(attributes.get(IFLA.linkInfo) ?? new Uint8Array())
    return {
      name: textOf(attributes.get(IFLA.name)),
      alias: textOf(attributes.get(IFLA.alias)),
      isBridge: textOf(info.get(INFO.kind)) === 'bridge',
      addresses: addresses.get(new DataView(body.buffer, body.byteOffset).getInt32(4, true)) ?? [],
    }
  })
}

function addressText(bytes: Uint8Array): string {
  return formatAddress({ version: bytes.length === 4 ? 4 : 6, value: BigInt(`0x${bytes.toHex()}`) })
}

function textOf(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? '' : new TextDecoder().decode(bytes).replace(/\0.*$/s, '')
}
