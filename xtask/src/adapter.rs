//! Sees to it that the tests find a Vulkan adapter.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::{Outcome, Task};

/// The variables that replace the search for drivers; the first is the newer name of the second.
const DRIVER_LISTS: [&str; 2] = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"];

/// Succeeds when an adapter's driver is installed, installing Mesa's software driver if need be and
/// if this user may.
pub fn ensure() -> Outcome {
    if cfg!(any(target_os = "macos", target_os = "windows")) {
        println!("Metal or DirectX 12 is part of the system");
        return Ok(());
    }
    if report() {
        return Ok(());
    }
    println!("no driver, or no Vulkan loader, is installed");
    // Installing cannot help where the environment hides what is installed.
    let listed = DRIVER_LISTS.into_iter().find(|name| std::env::var_os(name).is_some());
    if let Some(name) = listed.filter(|_| drivers(|name| std::env::var_os(name)).is_empty()) {
        return Err(format!(
            "{name} is set and names no driver that exists; correct it, or unset it to use the \
             installed ones"
        ));
    }
    let Some(privilege) = privilege() else {
        return Err(how_to_install());
    };
    install(privilege, "mesa-vulkan-drivers")
        .map_err(|problem| format!("{problem}; {}", how_to_install()))?;
    if report() { Ok(()) } else { Err(how_to_install()) }
}

/// Lists the installed drivers; false when the loader or every driver is missing.
fn report() -> bool {
    let drivers = drivers(|name| std::env::var_os(name));
    for driver in &drivers {
        println!("{}", driver.display());
    }
    !drivers.is_empty() && loader_installed()
}

/// The driver manifests that Vulkan's loader would read. The environment comes in as a function so
/// that tests can set it.
fn drivers(env: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    if let Some(listed) = DRIVER_LISTS.into_iter().find_map(&env) {
        return std::env::split_paths(&listed).flat_map(|path| manifests(&path)).collect();
    }
    let mut folders: Vec<PathBuf> =
        ["/etc", "/usr/local/etc", "/usr/local/share", "/usr/share"].map(PathBuf::from).into();
    if let Some(home) = env("HOME") {
        folders.push(Path::new(&home).join(".local/share"));
    }
    folders.iter().flat_map(|folder| manifests(&folder.join("vulkan/icd.d"))).collect()
}

/// The `.json` files in a folder, or the file itself.
fn manifests(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|file| file.extension().is_some_and(|e| e == "json"))
        .collect();
    found.sort();
    found
}

/// A manifest without the loader is of no use. Systems without `ldconfig` are taken at their word.
fn loader_installed() -> bool {
    ["/sbin/ldconfig", "ldconfig"]
        .iter()
        .find_map(|program| std::process::Command::new(program).arg("-p").output().ok())
        .is_none_or(|o| String::from_utf8_lossy(&o.stdout).contains("libvulkan.so.1"))
}

/// What has to stand in front of `apt-get`: nothing for root, `sudo -n` where that needs no
/// password. `None` where this user may not install or there is no `apt-get`.
pub fn privilege() -> Option<&'static [&'static str]> {
    if !Task::new("apt-get", &["--version"]).succeeds() {
        return None;
    }
    let root =
        std::process::Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n");
    if root {
        Some(&[])
    } else if Task::new("sudo", &["-n", "true"]).succeeds() {
        Some(&["sudo", "-n"])
    } else {
        None
    }
}

/// Installs a package of Debian's or Ubuntu's and what it cannot do without.
pub fn install(privilege: &[&str], package: &str) -> Outcome {
    let quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"];
    // What is there already is left as it is.
    let install = ["install", "-y", "--no-upgrade", "--no-install-recommends", package];
    for command in [&["update"][..], &install[..]] {
        let words = [privilege, &quiet[..], command].concat();
        println!("{}", words.join(" "));
        Task::new(words[0], &words[1..]).run()?;
    }
    Ok(())
}

fn how_to_install() -> String {
    "no Vulkan driver is installed and this program may not install one. Debian or Ubuntu: \
     `sudo apt-get install mesa-vulkan-drivers`; Fedora: `sudo dnf install mesa-vulkan-drivers \
     vulkan-loader`; Arch: `sudo pacman -S vulkan-swrast vulkan-icd-loader`; Alpine: `apk add \
     mesa-vulkan-swrast vulkan-loader`; elsewhere: a Vulkan driver and its loader, or set \
     VK_DRIVER_FILES to the driver's manifest"
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_replaces_the_search() {
        let folder = std::env::temp_dir().join(format!("gabor-xtask-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (b, a) = (folder.join("b_icd.json"), folder.join("a_icd.json"));
        for file in [&a, &b, &folder.join("readme.txt")] {
            std::fs::write(file, "{}").unwrap();
        }
        let missing = folder.join("missing.json");
        let listed = std::env::join_paths([&b, &missing]).unwrap();

        let new_name = drivers(|n| (n == "VK_DRIVER_FILES").then(|| listed.clone()));
        let old_name = drivers(|n| (n == "VK_ICD_FILENAMES").then(|| listed.clone()));
        let of_folder = drivers(|n| (n == "VK_DRIVER_FILES").then(|| folder.clone().into()));
        let of_nothing = drivers(|n| (n == "VK_DRIVER_FILES").then(|| missing.clone().into()));
        std::fs::remove_dir_all(&folder).unwrap();

        assert_eq!(of_folder, [a, b.clone()]);
        assert_eq!(new_name, std::slice::from_ref(&b));
        assert_eq!(old_name, [b]);
        assert!(of_nothing.is_empty());
    }

    #[test]
    fn drivers_of_the_home_folder_are_found() {
        let home = std::env::temp_dir().join(format!("gabor-home-{}", std::process::id()));
        let manifest = home.join(".local/share/vulkan/icd.d/x_icd.json");
        std::fs::create_dir_all(manifest.parent().unwrap()).unwrap();
        std::fs::write(&manifest, "{}").unwrap();
        let found = drivers(|n| (n == "HOME").then(|| home.clone().into()));
        std::fs::remove_dir_all(&home).unwrap();
        assert!(found.contains(&manifest));
    }
}
