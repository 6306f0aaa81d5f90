package netguard

import (
	"net/netip"
	"strings"
)

// notPublic4 lists what is not for everyone in IPv4, after the IANA special-purpose registry.
var notPublic4 = prefixes(
	"0.0.0.0/8",        // this network; Linux connects 0.0.0.0 to itself
	"10.0.0.0/8",       // private
	"100.64.0.0/10",    // shared by carriers
	"127.0.0.0/8",      // loopback
	"168.63.129.16/32", // Azure's host, which answers its guests only
	"169.254.0.0/16",   // link-local, with the metadata services of clouds
	"172.16.0.0/12",    // private
	"192.0.0.0/24",     // protocol assignments
	"192.0.2.0/24",     // documentation
	"192.88.99.0/24",   // 6to4 relays
	"192.168.0.0/16",   // private
	"198.18.0.0/15",    // benchmarks
	"198.51.100.0/24",  // documentation
	"203.0.113.0/24",   // documentation
	"224.0.0.0/4",      // multicast
	"240.0.0.0/4",      // reserved, and broadcast
)

// global6 is the only part of IPv6 that is handed out to networks: all else is local, multicast or reserved.
var global6 = netip.MustParsePrefix("2000::/3")

// notPublic6 lists what is not for everyone within global6.
var notPublic6 = prefixes(
	"2001::/23",     // protocol assignments: Teredo, benchmarks, ORCHID
	"2001:db8::/32", // documentation
	"2002::/16",     // 6to4, given up in 2015, which holds an IPv4 address
	"3fff::/20",     // documentation
)

// nat64 maps all of IPv4 into IPv6 for networks without IPv4.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// public reports whether everyone on the internet means the same machine by a.
func public(a netip.Addr) bool {
	a = a.Unmap()
	switch {
	case !a.IsValid(), a.Zone() != "":
		return false
	case a.Is4():
		return !in(notPublic4, a)
	case nat64.Contains(a):
		b := a.As16()
		return public(netip.AddrFrom4([4]byte(b[12:])))
	default:
		return global6.Contains(a) && !in(notPublic6, a)
	}
}

func in(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// publicHost reports whether host is a public address or a name that may have one.
func publicHost(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return public(a)
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	last := host[strings.LastIndexByte(host, '.')+1:]
	// No top-level domain is a number. Some resolvers read 127.1, 0177.0.0.1, 0x7f000001 or 2130706433 as an address,
	// so these are refused whatever they stand for. A colon is what is left of a mistyped IPv6 address.
	return last != "" && last != "localhost" && !strings.Contains(host, ":") && !number(last)
}

// number reports whether a label is digits, or 0x and hexadecimal digits.
func number(label string) bool {
	digits := "0123456789"
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		label, digits = hex, "0123456789abcdef"
	}
	return strings.Trim(label, digits) == ""
}
