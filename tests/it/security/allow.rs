//! The list of what may run, as an operator would write it.

use daur_core::security::input::command::{AllowList, Forbidden, Operands, Program, Refusal};

const fn program(name: &'static str, letters: &'static str, operands: Operands<'static>) -> Program<'static> {
    Program { name, letters, options: &[], operands }
}

const SRV: Operands<'_> = Operands::Below(&["/srv", "/var/log/"]);

const OPERATOR: AllowList<'_> = AllowList {
    programs: &[
        program("cat", "n", SRV),
        program("tail", "fn", SRV),
        program("cp", "r", SRV),
        Program { options: &["color", "include"], ..program("grep", "rniE", Operands::Text) },
        Program { options: &["-name", "-type"], ..program("find", "", Operands::Paths) },
        Program {
            options: &["no-pager", "output"],
            ..program("systemctl", "", Operands::Verb(&["status", "is-active"], &Operands::Names))
        },
        Program { options: &["since", "unit"], ..program("journalctl", "un", Operands::Text) },
        Program {
            options: &["message", "oneline"],
            ..program("git", "amn", Operands::Verb(&["status", "log", "commit"], &Operands::Text))
        },
        program("docker", "a", Operands::Verb(&["ps", "images"], &Operands::None)),
        program("kubectl", "n", Operands::Verb(&["get"], &Operands::Verb(&["pods", "nodes"], &Operands::Names))),
        program("ping", "c", Operands::Names),
    ],
};

#[test]
fn an_operators_list_lets_its_everyday_lines_through() {
    for line in [
        "cat /srv/app/app.conf",
        "cat -n notes.txt",
        "tail -n 50 /var/log/app.log",
        "tail -fn 5 /var/log",
        "cp -r /srv/a /srv/b",
        "grep -rn \"foo|bar\" src",
        "grep --color=never -iE '^a b$' f",
        "find . -name '*.rs' -type f",
        "systemctl status nginx",
        "systemctl --no-pager status getty@tty1.service nginx",
        "systemctl --output=json is-active nginx",
        "journalctl -u x --since \"1 hour ago\"",
        "git status",
        "git log --oneline -n 5",
        "git commit -m \"fix: a; b\"",
        "git commit -am 'x' --message='/etc is not touched'",
        "docker ps -a",
        "kubectl get pods web-0 -n a",
        "ping -c 3 example.org",
    ] {
        let admitted = OPERATOR.admit(line, &mut [0; 256]).map(|_| ());
        assert!(admitted.is_ok(), "{line}: {admitted:?}");
    }
}

#[test]
fn rules_1_to_3_what_is_not_named_is_refused_with_its_kind() {
    use Forbidden::{Argument, Option, Path, Program};
    for (line, why) in [
        ("rm x", Program),
        ("/bin/cat x", Program),
        ("CAT x", Program),
        ("cat\u{200c} x", Program),
        ("'cat x'", Program),
        ("cat /etc/passwd", Path),
        ("cat /srv2/x", Path),
        ("cat /var/logs", Path),
        ("cat /srv/../etc/passwd", Path),
        ("cat ../x", Path),
        ("cat 'a\\..\\b'", Path),
        ("cat '~root/x'", Path),
        ("cat ''", Path),
        ("cp -r /srv/a /etc/a", Path),
        ("cp -- /srv/a -t", Option),
        ("cp --target-directory=/etc /srv/a", Option),
        ("tail --follow=name x", Option),
        ("grep -f /etc/shadow x", Option),
        ("grep --file=/etc/shadow x", Option),
        ("grep -R x y", Option),
        ("find . -exec id", Option),
        ("find . -delete", Option),
        ("find . --name x", Option),
        ("find / -name x", Path),
        ("find . -name=/etc", Path),
        ("systemctl", Argument),
        ("systemctl --no-pager", Argument),
        ("systemctl stop nginx", Argument),
        ("systemctl nginx status", Argument),
        ("systemctl status /etc/x", Argument),
        ("systemctl status 'a b'", Argument),
        ("systemctl status -- -x", Option),
        ("systemctl --output=/etc/x status x", Path),
        ("git push", Argument),
        ("git -c alias.x=id status", Option),
        ("git --exec-path=/tmp status", Option),
        ("git log --output=x", Option),
        ("docker ps x", Argument),
        ("docker run x", Argument),
        ("kubectl get", Argument),
        ("kubectl get secrets", Argument),
        ("kubectl delete pods", Argument),
        ("ping 'a b'", Argument),
        ("ping -", Argument),
        ("ping -f x", Option),
    ] {
        let refused = OPERATOR.admit(line, &mut [0; 256]).map(|_| ());
        assert_eq!(refused, Err(Refusal::Forbidden(why)), "{line}");
    }
}
