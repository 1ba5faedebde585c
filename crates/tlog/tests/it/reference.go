// Reference answers questions about the tree of records that tests/it/driver.rs makes, with x/mod/sumdb/tlog:
//
//	root N           the tree hash of size N
//	record N I       the proof that record I is in the tree of size N
//	tree N M         the proof that the tree of size M is a beginning of that of size N
//	tiles N          path and SHA-256 of every tile of the tree of size N, by path
//	check-record N I P...   whether P proves record I (hashes in hex, comma separated, or "-")
//	check-tree N M P...     whether P proves that M is a beginning of N
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"sort"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index >= int64(len(h)) {
			return nil, fmt.Errorf("no hash %d", index)
		}
		out[i] = h[index]
	}
	return out, nil
}

var stored hashes
var leaves []tlog.Hash

func grow(size int64) error {
	for i := int64(len(leaves)); i < size; i++ {
		sum := func(what string) string {
			h := sha256.Sum256([]byte(fmt.Sprintf("%s %d", what, i)))
			return base64.StdEncoding.EncodeToString(h[:])
		}
		name := fmt.Sprintf("example.com/m%d v1.%d.0", i, i)
		text := fmt.Sprintf("%s h1:%s\n%s/go.mod h1:%s\n", name, sum("zip"), name, sum("mod"))
		more, err := tlog.StoredHashes(i, []byte(text), stored)
		if err != nil {
			return err
		}
		stored = append(stored, more...)
		leaves = append(leaves, tlog.RecordHash([]byte(text)))
	}
	return nil
}

func list(proof []tlog.Hash) string {
	var out []string
	for _, h := range proof {
		out = append(out, hex.EncodeToString(h[:]))
	}
	return strings.Join(append(out, "."), ",")
}

func unlist(text string) ([]tlog.Hash, error) {
	var out []tlog.Hash
	for _, part := range strings.Split(strings.TrimSuffix(text, "."), ",") {
		if part == "" {
			continue
		}
		b, err := hex.DecodeString(part)
		if err != nil || len(b) != tlog.HashSize {
			return nil, fmt.Errorf("bad hash %q", part)
		}
		out = append(out, tlog.Hash(b))
	}
	return out, nil
}

func tiles(size int64) (string, error) {
	var out []string
	for _, tile := range tlog.NewTiles(8, 0, size) {
		data, err := tlog.ReadTileData(tile, stored)
		if err != nil {
			return "", err
		}
		out = append(out, fmt.Sprintf("%s=%x", tile.Path(), sha256.Sum256(data)))
	}
	sort.Strings(out)
	return strings.Join(out, ","), nil
}

func answer(question string) (string, error) {
	var what, proof string
	var n, i int64
	if count, _ := fmt.Sscan(question, &what, &n, &i, &proof); count < 2 {
		return "", fmt.Errorf("bad question %q", question)
	}
	if err := grow(n); err != nil {
		return "", err
	}
	root, err := tlog.TreeHash(n, stored)
	if err != nil {
		return "", err
	}
	switch what {
	case "root":
		return list([]tlog.Hash{root}), nil
	case "record":
		p, err := tlog.ProveRecord(n, i, stored)
		return list(p), err
	case "tree":
		p, err := tlog.ProveTree(n, i, stored)
		return list(p), err
	case "tiles":
		return tiles(n)
	case "check-record":
		p, err := unlist(proof)
		if err != nil {
			return "", err
		}
		return "ok", tlog.CheckRecord(p, n, root, i, leaves[i])
	case "check-tree":
		p, err := unlist(proof)
		if err != nil {
			return "", err
		}
		old, err := tlog.TreeHash(i, stored)
		if err != nil {
			return "", err
		}
		return "ok", tlog.CheckTree(p, n, root, i, old)
	}
	return "", fmt.Errorf("bad question %q", question)
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for lines.Scan() {
		said, err := answer(lines.Text())
		if err != nil {
			said = "error: " + strings.ReplaceAll(err.Error(), "\n", " ")
		}
		fmt.Fprintln(out, said)
	}
}
