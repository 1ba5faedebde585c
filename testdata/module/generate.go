//go:build ignore

// Writes the golden tables of this folder and of ../unicode: what the packages semver, module and modfile of
// golang.org/x/mod, path.Match and unicode answer. README.md says how it was run.
package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"path"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

type row = map[string]any

var dice = rand.New(rand.NewSource(20261121))

func pick(from []string) string { return from[dice.Intn(len(from))] }

// made joins up to n random pieces.
func made(n int, pieces []string) string {
	var b strings.Builder
	for i := dice.Intn(n) + 1; i > 0; i-- {
		b.WriteString(pick(pieces))
	}
	return b.String()
}

func text(err error) any {
	if err == nil {
		return nil
	}
	return err.Error()
}

func write(name string, rows []row) {
	f, err := os.Create(name)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	for _, r := range rows {
		line, err := json.Marshal(r)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(f, "%s\n", line)
	}
}

func versions(n int) []string {
	list := []string{"", "v", "v1", "v1.2", "v1.2.3", "v0.0.0-20191109021931-daa7c04131f5", "v1.2.0-0.20191109021931-daa7c04131f5",
		"v1.2.10-0.20191109021931-daa7c04131f5", "v2.0.0-20191109021931-daa7c04131f5+incompatible", "v1.2.3-pre.0.20191109021931-daa7c04131f5+incompatible",
		"v99999999999999999999.0.0", "v100000000000000000000.0.0"}
	pieces := []string{"v", "0", "1", "2", "10", "09", ".", ".", ".", "-", "+", "rc", "-0.", "incompatible", "20191109021931", "-abc", "a", "A", "v1.2.3", "v0.0.0-", ".0.", "é"}
	for len(list) < n {
		s := made(9, pieces)
		if dice.Intn(3) > 0 {
			s = "v" + strconv.Itoa(dice.Intn(3)) + "." + strconv.Itoa(dice.Intn(12)) + "." + strconv.Itoa(dice.Intn(3)) + made(5, pieces[5:])
		}
		list = append(list, s)
	}
	return list
}

func semvers(n int) (rows []row) {
	last := "v1.0.0"
	for _, v := range versions(n) {
		r := row{"v": v, "valid": semver.IsValid(v), "canonical": semver.Canonical(v), "module_canonical": module.CanonicalVersion(v),
			"major": semver.Major(v), "major_minor": semver.MajorMinor(v), "prerelease": semver.Prerelease(v), "build": semver.Build(v),
			"other": last, "compare": semver.Compare(v, last), "pseudo": module.IsPseudoVersion(v)}
		if module.IsPseudoVersion(v) && module.CanonicalVersion(v) == v {
			base, err := module.PseudoVersionBase(v)
			rev, _ := module.PseudoVersionRev(v)
			when, timeErr := module.PseudoVersionTime(v)
			r["base"], r["base_error"], r["rev"], r["time"] = base, text(err), rev, nil
			if timeErr == nil {
				r["time"] = when.Unix()
			}
		}
		if dice.Intn(4) > 0 || semver.IsValid(v) {
			last = v
		}
		rows = append(rows, r)
	}
	return rows
}

func paths(n int) (rows []row) {
	pieces := []string{"/", "/", "/", ".", ".", "-", "_", "~", "~1", "a", "b", "C", "v", "v1", "v2", "v02", "v2.0", "/v3", "x.com", "gopkg.in/", ".v1", ".v0", "-unstable",
		"con", "LPT1", "aux.go", "..", "@", "+", " ", "é", "e\u0301", "\u212a", "世", "!", "!a", "!A", "'", "*", ":", "\\", "\x00", "\n", "\u2028", "\U0001f600", "git", "7"}
	for i := 0; i < n; i++ {
		p := made(6, pieces)
		switch dice.Intn(4) {
		case 0:
			p = "example.com/" + p
		case 1:
			p = pick([]string{"gopkg.in/yaml", "example.com/a/v", "x.io/a", "x.io/a."}) + made(3, pieces[5:])
		}
		r := row{"path": p, "module": text(module.CheckPath(p)), "import": text(module.CheckImportPath(p)), "file": text(module.CheckFilePath(p))}
		prefix, major, ok := module.SplitPathVersion(p)
		if ok {
			r["prefix"], r["major"] = prefix, major
			v := pick([]string{"v0.1.0", "v1.0.0", "v2.0.0", "v3.1.0", "v2.0.0+incompatible", "v0.0.0-20191109021931-daa7c04131f5"})
			r["version"], r["fits"] = v, module.CheckPathMajor(v, major) == nil
		}
		if e, err := module.EscapePath(p); err == nil {
			r["escaped"] = e
		}
		if u, err := module.UnescapePath(p); err == nil {
			r["unescaped"] = u
		}
		if e, err := module.EscapeVersion(p); err == nil {
			r["escaped_version"] = e
		}
		rows = append(rows, r)
	}
	return rows
}

func globs(n int) (rows []row) {
	pieces := []string{"*", "*", "?", "[", "]", "[a-c]", "[^a]", "[^", "-", "\\", "\\*", "a", "b", "c", "é", "/", "/", ".", ",", "^", "x.com"}
	names := []string{"a", "b", "c", "é", "/", "/", "]", "-", ".", "*", "x.com"}
	for i := 0; i < n; i++ {
		glob, name := made(6, pieces), made(6, names)
		if dice.Intn(2) == 0 {
			name = strings.NewReplacer("*", "a", "?", "b", "[a-c]", "b", "[^a]", "c", "\\", "").Replace(glob)
		}
		matched, err := path.Match(glob, name)
		rows = append(rows, row{"glob": glob, "name": name, "match": matched, "malformed": err != nil, "prefix": module.MatchPrefixPatterns(glob, name)})
	}
	return rows
}

func parsed(f *modfile.File, err error) any {
	if err != nil {
		return nil
	}
	r := row{"require": []any{}, "exclude": []any{}, "replace": []any{}, "retract": []any{}, "tool": []any{}, "ignore": []any{}, "godebug": []any{}}
	add := func(key string, fields ...any) { r[key] = append(r[key].([]any), fields) }
	if f.Module != nil {
		r["module"], r["deprecated"] = f.Module.Mod.Path, f.Module.Deprecated
	}
	if f.Go != nil {
		r["go"] = f.Go.Version
	}
	if f.Toolchain != nil {
		r["toolchain"] = f.Toolchain.Name
	}
	for _, x := range f.Require {
		add("require", x.Mod.Path, x.Mod.Version, x.Indirect)
	}
	for _, x := range f.Exclude {
		add("exclude", x.Mod.Path, x.Mod.Version)
	}
	for _, x := range f.Replace {
		add("replace", x.Old.Path, x.Old.Version, x.New.Path, x.New.Version)
	}
	for _, x := range f.Retract {
		add("retract", x.Low, x.High, x.Rationale)
	}
	for _, x := range f.Tool {
		add("tool", x.Path)
	}
	for _, x := range f.Ignore {
		add("ignore", x.Path)
	}
	for _, x := range f.Godebug {
		add("godebug", x.Key, x.Value)
	}
	return r
}

func gomods(n int) (rows []row) {
	words := []string{"module", "go", "require", "retract", "exclude", "replace", "tool", "ignore", "godebug", "toolchain", "hover", "(", ")", "[", "]", ",", "=>", "{", "\n", "\n", "\n",
		" ", " ", "\t", "\r\n", "// indirect\n", "// indirect; x\n", "//\n", "// Deprecated: gone\n", " // why\n", "// a\n\n// Deprecated:  b\n", "/* x */", "\"a.b/c\"", "`x`", "'q'", "a.b/c", "a.b/c/v2",
		"gopkg.in/y.v2", "a/v1", "v1.0.0", "v2.1.0", "v1", "v1.2.3+meta", "v2.0.0+incompatible", "\"v1.0.0\"", "1.21", "1.21.3", "1.21rc1", "v1.21x", "1.07", "go1.21", "default", "a=b", "../x", "./x", "/abs",
		"..x", "C:\\x", "x@y", "\"\\x41\\u00e9\\101\"", "\"\\\n\"", "\"\\\"\"", "\"\\q\"", "\"\\xff\\400\"", "\xff", "\xc3\"\xa9", "é", "\u00a0", "\u0301", "\x00", "\ufeff", "\u202e", "a//b", "[v1.0.0, v1.1.0]", "\"\""}
	lines := []string{"module a.b/c\n", "module a.b/c // Deprecated: x\n", "// Deprecated: y\n// z\nmodule \"a.b/c/v2\"\n", "go 1.21\n", "go 1.21.x\n", "require a.b/d v1.0.0\n", "require a.b/e v1.0.0 // indirect\n",
		"require (\n\ta.b/f v1.2.0 // indirect; z\n\n\t// note\n\ta.b/g/v2 v2.0.0\n)\n", "retract v1.0.0 // slow\n", "// both\nretract [v1.0.0, v1.2.0]\n", "// all\nretract (\n\tv1.0.0\n\n\tv1.0.1\n\tv1.0.2 // own\n)\n",
		"exclude a.b/d v1.1.0\n", "replace a.b/d => ../d\n", "replace a.b/d v1.0.0 => a.b/e v1.0.1\n", "tool a.b/d/cmd\n", "ignore ./x\n", "godebug a=b\n", "toolchain go1.21.1\n", "\n", "// alone\n\n", "hover (\n\tx\n) // y\n", "require ( )\n", "hover \"a\\\nb\" // moved\n"}
	for i := 0; i < n; i++ {
		var b strings.Builder
		for j := dice.Intn(5); j >= 0; j-- {
			line := pick(lines)
			switch dice.Intn(5) {
			case 0:
				line = made(7, words)
			case 1:
				at := dice.Intn(len(line) + 1)
				line = line[:at] + made(2, words) + line[at:]
			case 2:
				fields := strings.SplitAfter(line, " ")
				fields[dice.Intn(len(fields))] = pick(words) + " "
				line = strings.Join(fields, "") + pick([]string{"", "\n"})
			}
			b.WriteString(line)
		}
		data := []byte(b.String())
		rows = append(rows, row{"file": data, "strict": parsed(modfile.Parse("go.mod", data, nil)), "lenient": parsed(modfile.ParseLax("go.mod", data, nil)), "scan": modfile.ModulePath(data)})
	}
	return rows
}

// ranges writes the code points with a property, as "first-last" lines in hexadecimal.
func ranges(name string, has func(rune) bool) {
	var b strings.Builder
	start := rune(-1)
	for r := rune(0); r <= unicode.MaxRune+1; r++ {
		in := r <= unicode.MaxRune && has(r)
		if in && start < 0 {
			start = r
		} else if !in && start >= 0 {
			fmt.Fprintf(&b, "%x-%x\n", start, r-1)
			start = -1
		}
	}
	os.WriteFile(name, []byte(b.String()), 0o644)
}

// orbits writes one line per set of code points that differ only by case.
func orbits(name string) {
	var b strings.Builder
	for r := rune(0); r <= unicode.MaxRune; r++ {
		members, smallest := []string{fmt.Sprintf("%x", r)}, true
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			members = append(members, fmt.Sprintf("%x", next))
			smallest = smallest && next > r
		}
		if !smallest || len(members) == 1 {
			continue
		}
		fmt.Fprintln(&b, strings.Join(members, " "))
	}
	os.WriteFile(name, []byte(b.String()), 0o644)
}

func main() {
	folder, n := os.Args[1], 0
	fmt.Sscan(os.Args[2], &n)
	write(folder+"/module/semver.jsonl", semvers(n))
	write(folder+"/module/paths.jsonl", paths(n))
	write(folder+"/module/globs.jsonl", globs(n))
	write(folder+"/module/gomod.jsonl", gomods(n))
	ranges(folder+"/unicode/letters.txt", unicode.IsLetter)
	ranges(folder+"/unicode/printable.txt", unicode.IsPrint)
	orbits(folder + "/unicode/case-orbits.txt")
}
