"""Writes the header as a later minor version might have it, with every growable struct grown.

    grow.py HEADER OUTPUT"""
import re
import sys

GROWING = {
    "kvs_error": "uint64_t added;",
    "kvs_load_note": "uint64_t added;",
    "kvs_host": "uint64_t added; int (*added_function)(const kvs_host *host);",
    "kvs_tick": "uint64_t added;",
    "kvs_stack": "uint64_t added; int (*added_function)(const kvs_stack *stack);",
    "kvs_syncs": "uint64_t added;",
    "kvs_history": "uint64_t added;",
    "kvs_plugin": "int (*on_added)(void *self); uint64_t added;",
}


def grow(text):
    for name, fields in GROWING.items():
        text, count = re.subn(rf"(struct {name} {{.*?\n)(}})", rf"\g<1>   {fields}\n\2", text,
                              count=1, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"no struct {name} in the header")
    minor = re.search(r"#define KVS_ABI_MINOR (\d+)", text)
    return text.replace(minor.group(), f"#define KVS_ABI_MINOR {int(minor.group(1)) + 1}\n"
                                       "#define KVS_GROWN_FOR_TEST 1")


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as source:
        grown = grow(source.read())
    with open(sys.argv[2], "w", encoding="utf-8") as output:
        output.write(grown)
