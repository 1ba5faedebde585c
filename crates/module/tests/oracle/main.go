// Oracle says what the go command thinks of module zips: for each line "FILE\tPATH\tVERSION" on standard input it
// prints "accepts\tH1" or "rejects\tREASON". It unpacks with x/mod/zip and sums with x/mod/sumdb/dirhash, as the
// go command does.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/zip"
)

func judge(file, path, version string) (string, error) {
	dir, err := os.MkdirTemp("", "unzip")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if err := zip.Unzip(dir, module.Version{Path: path, Version: version}, file); err != nil {
		return "", err
	}
	return dirhash.HashZip(file, dirhash.Hash1)
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		h1, err := judge(fields[0], fields[1], fields[2])
		if err != nil {
			fmt.Printf("rejects\t%s\n", strings.ReplaceAll(fmt.Sprintf("%q", err.Error()), "\t", " "))
		} else {
			fmt.Printf("accepts\t%s\n", h1)
		}
	}
}
